import Glibc
import Scheduling
import TestTools
import Testing

struct EventLoopTests {
  private let clock = FakeClock()

  @Test func stepsAreTakenInTheOrderOfTheirRegistration() throws {
    let loop = EventLoop(clock: clock)
    var taken: [String] = []
    loop.onTurn { taken.append("first") }
    loop.onTimer(due: clock.now + .seconds(1)) { _ in
      taken.append("timer")
      loop.end(7)
      return nil
    }
    loop.onTurn { taken.append("behind the end") }
    #expect(try loop.run() == 7)
    #expect(taken == ["first", "timer"])
    #expect(clock.waits == [1])
  }

  @Test func theEarliestMomentEndsAWait() throws {
    let loop = EventLoop(clock: clock)
    let start = clock.now
    var moments: [Double] = []
    loop.onTimer(due: start + .seconds(3)) { due in
      moments.append((due - start) / .seconds(1))
      loop.end()
      return nil
    }
    loop.onTimer(due: start + .seconds(1)) { due in
      moments.append((due - start) / .seconds(1))
      return nil
    }
    loop.onTurn(until: { clock.now < start + .seconds(2) ? start + .seconds(2) : nil }, take: {})
    _ = try loop.run()
    #expect(moments == [1, 3])
  }

  @Test func aTimerGoesOnAtWhatItReturns() throws {
    let loop = EventLoop(clock: clock)
    var count = 0
    loop.onTimer(due: clock.now) { due in
      count += 1
      if count == 5 { loop.end() }
      return due + .seconds(10)
    }
    _ = try loop.run()
    #expect(clock.elapsed == 40)
  }

  @Test func aTimerThatIsSetFromOutsideIsTaken() throws {
    let loop = EventLoop(clock: clock)
    var isTaken = false
    let timer = EventLoop.Timer()
    loop.onTimer(timer) { _ in
      isTaken = true
      loop.end()
      return nil
    }
    #expect(timer.due == nil)
    timer.due = clock.now + .seconds(5)
    _ = try loop.run()
    #expect(isTaken && clock.elapsed == 5)
  }

  @Test func aScheduleDoesNotSlipAndLeavesOutWhatIsMissed() {
    let start = clock.now
    func next(_ now: Double) -> Double {
      (EventLoop.next(after: start, by: .seconds(10), now: start + .seconds(now)) - start) / .seconds(1)
    }
    #expect(next(0) == 10)
    #expect(next(9.5) == 10)
    #expect(next(10) == 20)
    #expect(next(25) == 30)
    #expect(next(1_000_000_005) == 1_000_000_010)
  }

  @Test func aQuietLoopTurnsAllTheSame() throws {
    let loop = EventLoop(clock: clock)
    loop.longestWait = .milliseconds(100)
    var turns = 0
    loop.onTurn {
      turns += 1
      if turns == 3 { loop.end() }
    }
    _ = try loop.run()
    #expect(clock.waits == [0.1, 0.1, 0.1])
  }

  @Test func readableDescriptorsBeginATurn() throws {
    var ends: [Int32] = [-1, -1]
    try #require(pipe(&ends) == 0)
    defer { for end in ends { close(end) } }
    let loop = EventLoop(clock: clock)
    var bytes: [UInt8] = []
    var turns = 0
    loop.onTimer(due: clock.now + .seconds(1)) { _ in
      _ = write(ends[1], [42], 1)
      return nil
    }
    loop.onTurn { turns += 1 }
    loop.onReadable(ends[0]) {
      var byte: UInt8 = 0
      #expect(read(ends[0], &byte, 1) == 1)
      bytes.append(byte)
      loop.end()
    }
    _ = try loop.run()
    #expect(bytes == [42])
    #expect(turns == 2)
    #expect(clock.waits == [1, nil])
  }

  @Test func aDescriptorWhoseOtherEndIsGoneIsReady() throws {
    var ends: [Int32] = [-1, -1]
    try #require(pipe(&ends) == 0)
    close(ends[1])
    defer { close(ends[0]) }
    let loop = EventLoop(clock: clock)
    loop.onReadable(ends[0]) { loop.end(1) }
    #expect(try loop.run() == 1)
  }

  @Test func descriptorsAreAskedForAnewBeforeEachWait() throws {
    var ends: [Int32] = [-1, -1]
    try #require(pipe(&ends) == 0)
    defer { for end in ends { close(end) } }
    _ = write(ends[1], [1], 1)
    let loop = EventLoop(clock: clock)
    loop.longestWait = .seconds(1)
    var turns = 0
    loop.onTurn(
      watching: { turns == 0 ? [] : [ends[0]] },
      take: {
        turns += 1
        if turns == 2 { loop.end() }
      })
    _ = try loop.run()
    #expect(clock.waits == [1, nil])
  }

  @Test func signalsHaveTheirTurnsOneByOne() throws {
    var before = sigset_t()
    pthread_sigmask(SIG_BLOCK, nil, &before)
    defer { pthread_sigmask(SIG_SETMASK, &before, nil) }
    let loop = EventLoop(signals: [SIGUSR1, SIGUSR2], clock: clock)
    var signals: [Int32] = []
    loop.onSignal { signal in
      signals.append(signal)
      if signals.count == 2 { loop.end(signal) }
    }
    // To this thread: raise does not reach for others.
    raise(SIGUSR1)
    raise(SIGUSR2)
    #expect(try loop.run() == SIGUSR2)
    #expect(signals == [SIGUSR1, SIGUSR2])
  }

  @Test func anErrorOfAStepEndsTheLoop() {
    struct Trouble: Error {}
    let loop = EventLoop(clock: clock)
    loop.longestWait = .zero
    loop.onTurn { throw Trouble() }
    #expect(throws: Trouble.self) { try loop.run() }
  }

  @Test func aLoopThatRunsForATimeCanRunAgain() throws {
    let loop = EventLoop(clock: clock)
    loop.longestWait = .milliseconds(400)
    var turns = 0
    loop.onTurn { turns += 1 }
    #expect(try loop.run(until: clock.now + .seconds(1)) == nil)
    #expect(turns == 3)
    // One turn at least.
    #expect(try loop.run(until: clock.now) == nil)
    #expect(turns == 4)
    loop.onTurn { loop.end(3) }
    #expect(try loop.run(until: clock.now + .seconds(1)) == 3)
  }

  @Test func theSystemClockWaitsUntilItsMoment() {
    let clock = SystemClock()
    let moment = clock.now + .milliseconds(30)
    var none: [pollfd] = []
    clock.wait(for: &none, until: moment)
    #expect(clock.now >= moment)
  }
}
