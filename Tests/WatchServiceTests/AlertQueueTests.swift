import Glibc
import TestTools
import Testing
import WatchService

struct AlertQueueTests {
  private let clock = FakeClock()
  private let directory: TemporaryDirectory

  init() throws { directory = try TemporaryDirectory() }

  @Test func anAlertIsGivenToItsCommand() throws {
    let queue = AlertQueue(clock: clock)
    let path = directory.file("alert")
    #expect(queue.run("cat > \(path)", Array("{}\n".utf8)).isEmpty)
    #expect(
      eventually {
        _ = queue.reap()
        return queue.runningCount == 0
      })
    #expect(contents(of: path) == Array("{}\n".utf8))
  }

  @Test func aFewRunAtOnceAndTheOthersWait() throws {
    let queue = AlertQueue(clock: clock)
    for _ in 0..<(AlertQueue.most + 2) { #expect(queue.run("sleep 1000", []).isEmpty) }
    #expect(queue.runningCount == AlertQueue.most)
    #expect(queue.waitingCount == 2)
    queue.stop()
    #expect(queue.runningCount == 0 && queue.waitingCount == 0)
  }

  @Test func thoseThatTakeTooLongMakeWay() throws {
    let queue = AlertQueue(clock: clock)
    for _ in 0..<AlertQueue.most { _ = queue.run("sleep 1000", []) }
    let path = directory.file("done")
    #expect(queue.run("touch \(path); sleep 1000", []).isEmpty)
    clock.advance(by: AlertQueue.patience - .seconds(1))
    #expect(queue.reap().isEmpty)
    #expect(queue.waitingCount == 1)
    clock.advance(by: .seconds(1))
    #expect(
      eventually {
        _ = queue.reap()
        return access(path, F_OK) == 0
      })
    #expect(queue.waitingCount == 0 && queue.runningCount == 1)
    queue.stop()
  }

  @Test func whatIsTooMuchIsRefused() throws {
    let queue = AlertQueue(clock: clock)
    for _ in 0..<(AlertQueue.most + AlertQueue.mostWaiting) { #expect(queue.run("sleep 1000", []).isEmpty) }
    #expect(queue.run("true", []) == ["100 alerts wait for their command already"])
    queue.stop()
  }
}
