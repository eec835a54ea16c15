import Glibc
import SystemSupport
import Testing

@Suite struct WholeWriteTests {
  private final class Drain: @unchecked Sendable {
    let descriptor: Int32
    var bytes: [UInt8] = []
    init(_ descriptor: Int32) { self.descriptor = descriptor }
  }

  /// A pipe that takes no more for half a second: everything arrives, and the writer sleeps meanwhile.
  @Test func waitsForTheReader() throws {
    var ends: [Int32] = [0, 0]
    try #require(pipe(&ends) == 0)
    defer { close(ends[0]) }
    try #require(fcntl(ends[1], F_SETFL, O_NONBLOCK) == 0)
    let bytes = (0..<1 << 20).map { UInt8(truncatingIfNeeded: $0 &* 31 >> 3) }
    let drain = Drain(ends[0])
    var reader = pthread_t()
    let code = pthread_create(
      &reader, nil,
      { argument in
        let drain = Unmanaged<Drain>.fromOpaque(argument!).takeUnretainedValue()
        usleep(500_000)
        var buffer = [UInt8](repeating: 0, count: 65536)
        while true {
          let count = read(drain.descriptor, &buffer, buffer.count)
          if count <= 0 { return nil }
          drain.bytes += buffer[..<count]
        }
      }, Unmanaged.passUnretained(drain).toOpaque())
    try #require(code == 0)
    let before = secondsOfThisThread()
    #expect(writeWhole(bytes, to: ends[1]) == 0)
    #expect(secondsOfThisThread() - before < 0.2)
    close(ends[1])
    pthread_join(reader, nil)
    #expect(drain.bytes == bytes)
  }

  @Test func saysWhyNot() {
    #expect(writeWhole([], to: -1) == 0)
    #expect(writeWhole([1], to: -1) == EBADF)
  }

  private func secondsOfThisThread() -> Double {
    var time = timespec()
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time)
    return Double(time.tv_sec) + Double(time.tv_nsec) / 1e9
  }
}
