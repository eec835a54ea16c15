import Glibc
import ProcessImage
import Synchronization
import TestTools
import Testing
import TraceModel

@testable import Symbolization

/// Files that break or exhaust what reads them, read by the process that is there for that.
@Suite(.serialized) struct WorkerTests {
  /// The built program, which is also its own worker. It lies beside the test bundle.
  private static var program: String {
    let own = readLink("/proc/self/exe") ?? ""
    let folder = CommandLine.arguments.first { $0.contains(".xctest") } ?? own
    var parts = folder.split(separator: "/")
    while let last = parts.popLast(), !last.contains(".xctest") {}
    return "/" + parts.joined(separator: "/") + "/leaktrace"
  }

  private static func options(_ change: (inout WorkerLimits) -> Void = { _ in }) -> SymbolizerOptions {
    var options = SymbolizerOptions()
    var limits = WorkerLimits()
    limits.program = program
    change(&limits)
    options.worker = limits
    return options
  }

  private static let inlines = """
    #include <stdio.h>
    namespace outer {
    struct Thing {
      int value;
      inline __attribute__((always_inline)) int twice() const { return value > 7 ? getchar() * 2 : 1; }
      template <typename T> __attribute__((noinline)) T times(T by) const { return by * twice() + getchar(); }
    };
    }
    int variable = 7;
    int main() { puts("ready"); fflush(stdout); getchar(); return outer::Thing{variable}.times(2L); }

    """

  /// A running program with a symbolizer, and the frames at an address of the program's file.
  private final class Target {
    let process: RunningProgram
    let symbolizer: Symbolizer
    let path: String
    private let bias: UInt64

    init(_ path: String, _ options: SymbolizerOptions) throws {
      self.path = path
      process = try RunningProgram([path])
      _ = process.readLine()
      symbolizer = Symbolizer(options: options)
      let mappings = try ProcessMaps.read(processID: process.processID)
      symbolizer.record(processID: process.processID, generation: 0, snapshot: AddressSpaceSnapshot(mappings: mappings))
      let mapping = try #require(mappings.first { $0.path == path && $0.permissions.contains(.execute) })
      bias = mapping.start &- (try #require(ElfFile(path: path).virtualAddress(ofMappingAt: mapping.fileOffset)))
    }

    func frames(at address: UInt64) -> [Frame] {
      symbolizer.frames(
        for: StackTrace(addresses: [address &+ bias], completeness: .complete), processID: process.processID,
        generation: 0, leafIsExact: true)
    }
  }

  private func symbol(_ name: String, of path: String) throws -> (address: UInt64, size: UInt64) {
    for line in try run(["nm", "-S", path]).split(separator: "\n") {
      let fields = line.split(separator: " ")
      if fields.count == 4, fields[3] == name || name.contains("I") && fields[3].contains(name) {
        return (try #require(UInt64(fields[0], radix: 16)), try #require(UInt64(fields[1], radix: 16)))
      }
    }
    throw ToolFailure(command: "nm", status: 0, output: "no \(name) in \(path)")
  }

  private func build(_ directory: TemporaryDirectory) throws -> String {
    let source = try directory.write("program.cpp", Self.inlines)
    try run(["g++", "-O2", "-g", "-o", directory.file("program"), source])
    return directory.file("program")
  }

  @Test func namesAreThoseOfThisProcess() throws {
    let directory = try TemporaryDirectory()
    let path = try build(directory)
    let remote = try Target(path, Self.options())
    let local = try Target(path, SymbolizerOptions())
    let (start, size) = try symbol("5timesI", of: path)
    var inlined = 0
    for address in start..<(start + size) {
      let (mine, others) = (remote.frames(at: address), local.frames(at: address))
      #expect(mine.map(\.function) == others.map(\.function))
      #expect(mine.map(\.linkageName) == others.map(\.linkageName))
      #expect(mine.map(\.line) == others.map(\.line))
      #expect(mine.map(\.file) == others.map(\.file))
      #expect(mine.map(\.functionOffset) == others.map(\.functionOffset))
      inlined += mine.count { $0.isInlined }
    }
    #expect(inlined > 0)
    #expect(remote.symbolizer.notes.isEmpty)
    let data = try symbol("variable", of: path).address
    let bias = try #require(
      remote.frames(at: start).first?.address
    ).subtractingReportingOverflow(start).partialValue
    let variable = remote.symbolizer.variable(
      at: data &+ bias &+ 2, inModule: path, processID: remote.process.processID, generation: 0)
    #expect(variable?.name == "variable")
    #expect(variable?.address == data &+ bias)
    #expect(variable?.size == 4)
  }

  @Test func hasNoPrivilegesAndNothingOpen() throws {
    let directory = try TemporaryDirectory()
    let path = try build(directory)
    let target = try Target(path, Self.options())
    let start = try symbol("main", of: path).address
    #expect(target.frames(at: start).last?.function == "main")
    let worker = try #require(target.symbolizer.workerProcessID)
    var fields: [Substring: Substring] = [:]
    for line in String(decoding: try readFile("/proc/\(worker)/status"), as: UTF8.self).split(separator: "\n") {
      let parts = line.split(separator: ":", maxSplits: 1)
      if parts.count == 2 { fields[parts[0]] = parts[1].drop { $0 == "\t" || $0 == " " } }
    }
    for name in ["CapInh", "CapPrm", "CapEff", "CapAmb"] as [Substring] { #expect(fields[name] == "0000000000000000") }
    #expect(fields["NoNewPrivs"] == "1")
    #expect(fields["Seccomp"] == "2")
    if geteuid() == 0 {
      #expect(fields["CapBnd"] == "0000000000000000")
      #expect(fields["Uid"] == "65534\t65534\t65534\t65534")
      #expect(fields["Groups"]?.allSatisfy { $0 == " " } == true)
      // Nobody's processes may not trace it, so that only we can see what it has open.
      #expect(readLink("/proc/\(worker)/fd/0") == "/dev/null")
      #expect(readLink("/proc/\(worker)/fd/3")?.hasPrefix("socket:") == true)
      // Beside the files that it was given, by which the others are known here.
      let others = (4..<64).compactMap { readLink("/proc/\(worker)/fd/\($0)") }
      #expect(others.allSatisfy { $0.hasPrefix("/") || $0 == "anon_inode:[userfaultfd]" })
    }
  }

  @Test func isStartedAgainWhenItDies() throws {
    let directory = try TemporaryDirectory()
    let path = try build(directory)
    let target = try Target(path, Self.options())
    let start = try symbol("main", of: path).address
    #expect(target.frames(at: start).last?.function == "main")
    let first = try #require(target.symbolizer.workerProcessID)
    kill(first, SIGKILL)
    // The first try fails and is counted; the next one has another worker, but no debug information any more.
    #expect(target.frames(at: start + 1).map(\.function) == ["main"])
    #expect(target.symbolizer.workerProcessID != first)
    #expect(target.symbolizer.notes.contains { $0.contains("no lines and inlined calls, because reading them failed") })
    // Giving memory back ends it.
    target.symbolizer.trim()
    #expect(target.symbolizer.workerProcessID == nil)
    #expect(target.frames(at: start + 2).last?.function == "main")
  }

  /// A worker that a hostile file has brought to a stop must not bring leaktrace to one.
  @Test func takesNoLongerThanItMay() throws {
    let directory = try TemporaryDirectory()
    let path = try build(directory)
    let target = try Target(path, Self.options { $0.seconds = 0.3 })
    let start = try symbol("main", of: path).address
    #expect(target.frames(at: start).last?.function == "main")
    kill(try #require(target.symbolizer.workerProcessID), SIGSTOP)
    #expect(target.frames(at: start + 1).map(\.function) == ["main"])
    #expect(target.symbolizer.notes.contains { $0.contains("it took too long") })
  }

  /// After too many failures nothing is read until the next report, so that a thousand hostile files cost no more than a few.
  @Test func givesUpAfterTooManyFailures() throws {
    let directory = try TemporaryDirectory()
    let path = try build(directory)
    let target = try Target(path, Self.options { $0.maximumFailures = 1 })
    let start = try symbol("main", of: path).address
    #expect(target.frames(at: start).last?.function == "main")
    kill(try #require(target.symbolizer.workerProcessID), SIGKILL)
    #expect(target.frames(at: start + 1).map(\.function) == [nil])
    #expect(target.symbolizer.notes.contains { $0.contains("too many files failed before") })
    target.symbolizer.trim()
    #expect(target.frames(at: start + 1).map(\.function) == ["main"])
  }

  /// Whoever waits for a worker hears that leaktrace is to end.
  @Test func waitsNoMoreWhenLeaktraceIsToEnd() throws {
    let directory = try TemporaryDirectory()
    let path = try build(directory)
    let asked = Atomic<Int>(0)
    let isTold = Atomic<Bool>(false)
    var options = Self.options()
    options.isInterrupted = {
      // The first question comes before the request is sent, the others while its answer is waited for.
      guard isTold.load(ordering: .relaxed) else { return false }
      return asked.wrappingAdd(1, ordering: .relaxed).newValue > 2
    }
    let target = try Target(path, options)
    let start = try symbol("main", of: path).address
    #expect(target.frames(at: start).last?.function == "main")
    kill(try #require(target.symbolizer.workerProcessID), SIGSTOP)
    isTold.store(true, ordering: .relaxed)
    #expect(target.frames(at: start + 1).map(\.function) == [nil])
    #expect(asked.load(ordering: .relaxed) == 3)
    #expect(target.symbolizer.notes.contains { $0.contains("told to end") })
    // It was not the file's fault.
    isTold.store(false, ordering: .relaxed)
    #expect(target.frames(at: start + 1).last?.line != nil)
  }

  /// A program with debug information of the attacker's making beside that of the compiler.
  private func attack(_ name: String, _ assembly: String, in directory: TemporaryDirectory) throws -> String {
    let source = try directory.write(
      "main.c", "#include <stdio.h>\nint main(void) { puts(\"ready\"); fflush(stdout); return getchar(); }\n")
    let bomb = try directory.write("bomb.s", assembly)
    let path = directory.file(name)
    try run(["gcc", "-O1", "-o", path, source, bomb])
    return path
  }

  /// Line programs of this size made 869 MB.
  @Test func aLineProgramThatTakesTooMuchMemoryCostsTheLines() throws {
    let directory = try TemporaryDirectory()
    let path = try attack("lines", Self.lineBomb, in: directory)
    let target = try Target(path, Self.options { $0.memoryInBytes = 96 << 20 })
    let start = try symbol("bombed", of: path).address
    #expect(target.frames(at: start).map(\.function) == ["bombed"])
    #expect(target.symbolizer.notes.contains { $0.contains("only a part of the names and lines") })
    let worker = try #require(target.symbolizer.workerProcessID)
    let status = String(decoding: try readFile("/proc/\(worker)/status"), as: UTF8.self)
    let peak = try #require(status.split(separator: "\n").first { $0.hasPrefix("VmHWM:") })
    let kibibytes = try #require(peak.split(separator: " ").dropLast().last.flatMap { Int($0) })
    // The debug build of leaktrace, its libraries and the file are mapped besides.
    #expect(kibibytes < 256 << 10)
    // Other modules are not concerned.
    #expect(target.frames(at: try symbol("main", of: path).address).map(\.function) == ["main"])
  }

  /// Functions that share one list of ranges: reading them did not end, and took 6.2 GB.
  @Test func functionsThatShareTheirRangesAreCut() throws {
    let directory = try TemporaryDirectory()
    let path = try attack("ranges", Self.rangeBomb, in: directory)
    let target = try Target(path, Self.options())
    let start = try symbol("bombed", of: path).address
    #expect(target.frames(at: start).last?.function == "bombed")
    #expect(!target.symbolizer.notes.isEmpty)
  }

  /// What unpacks to more than there is memory is not unpacked.
  @Test func packedDebugInformationThatIsTooLargeIsNotRead() throws {
    let directory = try TemporaryDirectory()
    let path = try attack(
      "packed", Self.lineBomb + "\n.section .debug_loc,\"\",@progbits\n.zero 200000000\n", in: directory)
    try run(["objcopy", "--compress-debug-sections=zlib", path])
    let target = try Target(path, Self.options { $0.memoryInBytes = 96 << 20 })
    let start = try symbol("bombed", of: path).address
    #expect(target.frames(at: start).map(\.function) == ["bombed"])
    #expect(target.symbolizer.notes.contains { $0.contains("too large") })
  }

  /// What a worker that has been taken over may answer.
  @Test func anyAnswerCanBeRead() {
    var message = MessageWriter()
    message.put(UInt8(3))
    message.put([
      Module.Function(name: "one", linkageName: "_Zone", start: 1, file: "a.c", line: 3), Module.Function(name: nil),
    ])
    let good = Array(message.finished.dropFirst(4))
    var mutator = Mutator(seed: 5)
    for _ in 0..<fuzzRounds(20_000) {
      var reader = MessageReader(mutator.mutate(good, focus: [1..<8]))
      _ = reader.number(UInt8.self)
      let count = reader.functions().count
      let isSound = count <= Int(UInt16.max)
      #expect(isSound)
    }
    var reader = MessageReader(good)
    #expect(reader.number(UInt8.self) == 3)
    let functions = reader.functions()
    #expect(!reader.failed)
    #expect(functions.map(\.name) == ["one", nil])
    #expect(functions[0].line == 3 && functions[0].start == 1 && functions[1].start == nil)
  }

  /// A unit of debug information with one function, `bombed`, and what `details` adds to it.
  private static func unit(_ children: String, extra: String) -> String {
    """
    .text
    .globl bombed
    .type bombed,@function
    bombed: nop
    nop
    ret
    .size bombed,.-bombed
    .Lend:
    .section .debug_abbrev,"",@progbits
    .Labbrev: .uleb128 1, 0x11
    .byte 1
    .uleb128 0x11, 0x01, 0x12, 0x07, 0x10, 0x17, 0, 0
    .uleb128 2, 0x2e
    .byte 0
    .uleb128 0x55, 0x17, 0x03, 0x08, 0, 0
    .byte 0
    .section .debug_info,"",@progbits
    .long .Linfoend-.Linfostart
    .Linfostart: .value 4
    .long .Labbrev
    .byte 8
    .uleb128 1
    .quad bombed
    .quad .Lend-bombed
    .long .Lline
    \(children)
    .byte 0
    .Linfoend:
    \(extra)
    .section .note.GNU-stack,"",@progbits

    """
  }

  /// A row for each byte: 7 million rows at addresses of one function.
  private static let lineBomb = unit(
    "",
    extra: """
      .section .debug_line,"",@progbits
      .Lline: .long .Llineend-.Llinestart
      .Llinestart: .value 4
      .long .Lheaderend-.Lheaderstart
      .Lheaderstart: .byte 1, 1, 1, -5, 14, 13
      .byte 0, 1, 1, 1, 1, 0, 0, 0, 1, 0, 0, 1
      .byte 0
      .asciz "a.c"
      .uleb128 0, 0, 0
      .byte 0
      .Lheaderend: .byte 0
      .uleb128 9
      .byte 2
      .quad bombed
      .fill 7000000, 1, 1
      .byte 2, 8
      .byte 0, 1, 1
      .Llineend:
      """)

  /// 100,000 functions, each with the same list of 100,000 ranges.
  private static let rangeBomb = unit(
    """
    .rept 100000
    .uleb128 2
    .long .Lranges
    .asciz "f"
    .endr
    """,
    extra: """
      .section .debug_line,"",@progbits
      .Lline: .long 0
      .section .debug_ranges,"",@progbits
      .Lranges:
      .rept 100000
      .quad 1, 2
      .endr
      .quad 0, 0
      """)
}
