import Glibc
import PageFaults
import TestTools
import Testing
import TraceModel

extension Privileged {
  /// Page faults by call stack, of a program whose growth is known.
  @Suite struct PageFaultTests {
    @Test func tellsWhatTouchesNewPages() throws {
      let program = try Programs.compile("loads/touches.c", ["-fomit-frame-pointer"])
      let running = try RunningProgram([program])
      defer {
        kill(running.processID, SIGKILL)
        _ = running.wait()
      }
      #expect(running.readLine(timeout: patience) == "ready")
      let calibration = try faults(of: running.processID)
      let start = ContinuousClock.now
      pause(milliseconds: 500)
      let rate = Double(try faults(of: running.processID) - calibration) / ((ContinuousClock.now - start) / .seconds(1))
      let session = try PageFaultSession(
        processID: running.processID, command: "touches", length: .seconds(5), faultsPerSecond: rate)
      let before = try faults(of: running.processID)
      while !session.isOver {
        var descriptors = session.pollDescriptors.map { pollfd(fd: $0, events: Int16(POLLIN), revents: 0) }
        poll(&descriptors, nfds_t(descriptors.count), 100)
        session.handleEvents()
      }
      let sites = session.finish()
      let after = try faults(of: running.processID)
      // 200 are wished for.
      #expect(session.samples >= 100 && session.samples <= 400)
      #expect(session.lost == 0)
      let names = sites.map { $0.frames.map { $0.function ?? "?" } }
      #expect(names.first?.prefix(3) == ["grow_by_filling", "serve", "main"], "\(names)")
      let filling = try #require(sites.first)
      #expect(filling.completeness == .complete)
      // By way of the C library's read.
      let reading = try #require(sites.first { $0.frames.contains { $0.function == "grow_by_reading" } }, "\(names)")
      #expect(reading.frames.first?.module?.contains("libc") == true)
      #expect(reading.frames.suffix(5).map(\.function).contains("main"))
      #expect(reading.completeness == .complete)
      #expect(!names.joined().contains("look_at_file"))
      // 48 pages to 16; more than four standard errors of a hundred samples around it.
      let (filled, read) = (Double(filling.bytes), Double(reading.bytes))
      #expect(filled / (filled + read) > 0.57 && filled / (filled + read) < 0.93, "\(filled) \(read)")
      // Together they stand for what the kernel counted, but for the file's.
      let counted = Double(after - before) * 4096 * 64 / 68
      #expect(filled + read > 0.8 * counted && filled + read < 1.2 * counted, "\(filled + read) of \(counted)")
    }

    @Test func refusesAProcessThatIsGone() throws {
      let running = try RunningProgram(["true"])
      _ = running.wait()
      #expect(throws: (any Error).self) {
        _ = try PageFaultSession(processID: running.processID, command: "true", length: .seconds(1), faultsPerSecond: 1)
      }
    }

    /// Minor faults so far: the tenth field of /proc/PID/stat.
    private func faults(of processID: Int32) throws -> UInt64 {
      let fields = String(decoding: contents(of: "/proc/\(processID)/stat"), as: UTF8.self).split(separator: " ")
      return try #require(UInt64(fields[9]))
    }
  }
}
