import Glibc
import TestTools
import Testing

extension Privileged {
  /// Processes whose owner makes the files that they map, and changes them, so that they harm who looks.
  @Suite struct HostileObjectsTests {
    private static let nobody: UInt32 = 65534
    private let directory: TemporaryDirectory

    init() throws {
      directory = try TemporaryDirectory()
      chmod(directory.path, 0o755)
      chown(directory.path, Self.nobody, Self.nobody)
    }

    /// A library that defines the functions that are looked for, each with this code.
    private func library(code: String, size: Int = 64) throws -> String {
      let functions = [
        "malloc", "free", "calloc", "realloc", "mmap", "munmap", "_Fork", "_dl_debug_state", "pthread_create",
      ]
      let source = functions.map {
        ".globl \($0)\n.type \($0),@function\n\($0):\n\(code)\n.p2align 6\n.size \($0), \(size)\n"
      }
      let path = directory.file("libhostile.so")
      try run(
        ["gcc", "-shared", "-nostdlib", "-o", path, try directory.write("hostile.s", ".text\n" + source.joined())])
      chown(path, Self.nobody, Self.nobody)
      return path
    }

    private func start(_ arguments: [String]) throws -> TracedProgram {
      try TracedProgram(
        ["setpriv", "--reuid=\(Self.nobody)", "--regid=\(Self.nobody)", "--clear-groups"]
          + [Programs.compile("hostile/objects.c")] + arguments)
    }

    private static let honest = "endbr64\npush %rbx\nmov %rdi, %rbx\nxor %eax, %eax\npop %rbx\nret"

    private func checkTrace(ofProcessWith library: String) throws {
      chmod(Programs.path, 0o755)
      let program = try start([library])
      let attachment = try Attachment(to: program)
      try program.step()
      let report = try attachment.interrupt()
      #expect(report.outstanding(in: "case_blocks", class: "heap") == Blocks(300, 3))
      #expect(report.notes.contains { $0.hasPrefix("\(library) is left out") }, "\(report.notes)")
      program.letGo()
      #expect(program.end() == 0)
    }

    /// The kernel refuses to put a probe where no instruction can be.
    @Test(arguments: [".fill 64,1,0x06", ".fill 64,1,0xf0", ".fill 64,1,0xcc"])
    func codeThatIsNone(code: String) throws {
      try checkTrace(ofProcessWith: library(code: code))
    }

    /// Numbers in a file's headers and symbols at which sums do not fit.
    @Test(arguments: [
      Damage.segmentOffset(1 << 63 - 1), .segmentOffset(.max), .segmentAddress(0 &- 4096), .symbolSize(.max),
      .symbolAddress(.max), .segmentSize(.max), .symbolAddress(1 << 63),
    ])
    func numbersThatDoNotFit(damage: Damage) throws {
      let path = try library(code: Self.honest)
      var bytes = contents(of: path)
      damage.apply(to: &bytes)
      try directory.write("libhostile.so", bytes)
      chmod(Programs.path, 0o755)
      let program = try start([path])
      let attachment = try Attachment(to: program)
      try program.step()
      let report = try attachment.interrupt()
      #expect(report.outstanding(in: "case_blocks", class: "heap") == Blocks(300, 3))
      program.letGo()
      #expect(program.end() == 0)
    }

    /// The name of a library that is being probed leads to another user's library half of the time, to code in the middle of
    /// whose instructions no breakpoint may come, or to a FIFO, which nobody ever writes to.
    @Test(arguments: ["link", "fifo"]) func exchangedNames(kind: String) throws {
      let path = try library(code: Self.honest)
      let other = directory.file("other")
      let shared = try Programs.compile("hostile/victim.c", ["-shared", "-fPIC", "-nostdlib"], suffix: ".so")
      chmod(Programs.path, 0o755)
      let victim = try TracedProgram(
        [Programs.compile("hostile/victim.c", ["-DCALLER", shared])])
      victim.letGo()
      if kind == "link" { symlink(shared, other) } else { mkfifo(other, 0o644) }
      chown(other, Self.nobody, Self.nobody)
      let program = try start([path, other])
      for _ in 0..<10 { _ = try Attachment(to: program).interrupt() }
      #expect(victim.isRunning)
      #expect(program.isRunning)
    }

    /// One number of a file.
    enum Damage: Sendable {
      case segmentOffset(UInt64)
      case segmentAddress(UInt64)
      case segmentSize(UInt64)
      case symbolSize(UInt64)
      case symbolAddress(UInt64)

      func apply(to bytes: inout [UInt8]) {
        func word(_ offset: Int) -> Int {
          bytes[offset..<offset + 8].reversed().reduce(0) { $0 << 8 | Int($1) }
        }
        func put(_ value: UInt64, _ offset: Int) {
          for index in 0..<8 { bytes[offset + index] = UInt8(truncatingIfNeeded: value >> (8 * UInt64(index))) }
        }
        let executable = (0..<Int(bytes[56])).map { word(32) + $0 * 56 }.first {
          bytes[$0] == 1 && bytes[$0 + 4] & 1 != 0
        }!
        switch self {
        case .segmentOffset(let value): put(value, executable + 8)
        case .segmentAddress(let value): put(value, executable + 16)
        case .segmentSize(let value): put(value, executable + 32)
        case .symbolSize(let value): forEachSymbol { put(value, $0 + 16) }
        case .symbolAddress(let value): forEachSymbol { put(value, $0 + 8) }
        }
        func forEachSymbol(_ body: (Int) -> Void) {
          for header in (0..<Int(bytes[60])).map({ word(40) + $0 * 64 }) where bytes[header + 4] == 11 {
            for symbol in stride(from: word(header + 24) + 24, to: word(header + 24) + word(header + 32), by: 24) {
              body(symbol)
            }
          }
        }
      }
    }
  }
}
