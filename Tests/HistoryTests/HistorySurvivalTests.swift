import Glibc
import History
import TestTools
import Testing

/// A history whose writer is killed, and one on a full disk.
@Suite(.serialized) struct HistorySurvivalTests {
  private static let writer: String = {
    var buffer = [CChar](repeating: 0, count: Int(PATH_MAX))
    let count = readlink("/proc/self/exe", &buffer, buffer.count - 1)
    let own = String(decoding: buffer.prefix(max(0, count)).map { UInt8(bitPattern: $0) }, as: UTF8.self)
    return own.split(separator: "/").dropLast().reduce("") { $0 + "/" + $1 } + "/history-writer"
  }()

  @Test func losesNothingThatWasCommitted() throws {
    let directory = try TemporaryDirectory()
    let path = directory.file("history.db")
    var random = SplitMix64(state: 11)
    var committed: UInt64 = 0
    for round in 0..<50 {
      let writer = try RunningProgram([Self.writer, path])
      // Killed at a random moment of its writing.
      _ = writer.readLine(timeout: patience)
      pause(milliseconds: Int.random(in: 0..<20, using: &random))
      kill(writer.processID, SIGKILL)
      let last = writer.readOutput(timeout: patience).split(separator: "\n").compactMap { UInt64($0) }.last
      _ = writer.wait()
      committed = max(committed + 1, last ?? 0)
      let reader = try HistoryStore(reading: path)
      let sizes = try reader.sizes(since: 0)
      let greatest = sizes.map(\.bytes).max() ?? 0
      #expect(greatest >= committed, "round \(round)")
      // Every write as a whole: from the first to the last, 50 sizes each.
      #expect(sizes.count == Int(greatest) * 50, "round \(round)")
      committed = greatest
    }
    #expect(try HistoryStore(path: path).damage() == nil)
    #expect(committed >= 50)
  }

  @Test(.enabled(if: geteuid() == 0, "needs root, to mount a small disk"))
  func survivesAFullDisk() throws {
    let directory = try TemporaryDirectory()
    let disk = directory.file("disk")
    mkdir(disk, 0o700)
    try #require(mount("tmpfs", disk, "tmpfs", 0, "size=1m") == 0)
    defer { umount2(disk, Int32(MNT_DETACH)) }
    let store = try HistoryStore(path: disk + "/history.db")
    var written: UInt64 = 0
    var refusal: HistoryError?
    while refusal == nil, written < 100_000 {
      do throws(HistoryError) {
        try store.saveSizes((0..<50).map { ("process", "\($0)", written + 1) }, at: Double(written + 1))
        written += 1
      } catch { refusal = error }
    }
    #expect(try #require(refusal).isDiskFull)
    #expect(written > 10)
    // What was committed is there, and the writer goes on once there is room.
    #expect(try store.sizes(since: 0).count == Int(written) * 50)
    #expect(mount("tmpfs", disk, "tmpfs", UInt(MS_REMOUNT), "size=8m") == 0)
    try store.saveSizes([("process", "0", 7)], at: 1e9)
    #expect(try store.sizes(since: 1e8).map(\.bytes) == [7])
    #expect(try store.damage() == nil)
  }
}
