import Glibc
import ProcessImage
import TestTools
import Testing
import TraceModel

@testable import Symbolization

@Suite struct SeparateDebugFileTests {
  private struct Program {
    var path: String
    var debugFile: String
    var symbols: [String: UInt64]
    var lines: [String: String]
  }

  /// A program, its symbols and debug information in a file of its own.
  private func build(_ directory: TemporaryDirectory, _ options: [String] = []) throws -> Program {
    let source = try directory.write("program.c", waitingProgram)
    let path = directory.file("program")
    try run(["gcc", "-O1", "-g", "-o", path, source] + options)
    let symbols = try symbols(of: path)
    var lines: [String: String] = [:]
    for name in ["helper", "exported", "main"] {
      let address = String(try #require(symbols[name]), radix: 16)
      let output = try run(["addr2line", "-e", path, address])
      lines[name] = String(output.split(separator: "\n")[0])
    }
    let debugFile = directory.file("program.debug")
    try run(["objcopy", "--only-keep-debug", path, debugFile])
    try run(["strip", "--strip-all", path])
    return Program(path: path, debugFile: debugFile, symbols: symbols, lines: lines)
  }

  private func expectNames(
    _ built: Program, _ directory: TemporaryDirectory, debug: [String], lines: Bool = true
  ) throws {
    let program = try ProgramUnderTest(
      built.path, in: directory, options: SymbolizerOptions(debugDirectories: debug))
    for name in ["helper", "exported", "main"] {
      let frames = program.frames(atVirtualAddress: try #require(built.symbols[name]))
      #expect(frames.map(\.function) == [name])
      #expect(frames[0].functionOffset == 0)
      let place = frames[0].file.flatMap { file in frames[0].line.map { "\(file):\($0)" } }
      #expect(place == (lines ? built.lines[name] : nil))
    }
  }

  private func expectNothing(_ built: Program, _ directory: TemporaryDirectory, debug: [String])
    throws
  {
    let program = try ProgramUnderTest(
      built.path, in: directory, options: SymbolizerOptions(debugDirectories: debug))
    let frames = program.frames(atVirtualAddress: try #require(built.symbols["helper"]))
    #expect(frames.map(\.unresolved) == [.noSymbol])
  }

  @Test func findsItByBuildID() throws {
    let directory = try TemporaryDirectory()
    let built = try build(directory, ["-Wl,--build-id=sha1"])
    try expectNothing(built, directory, debug: [directory.path])
    let buildID = try #require(ElfFile(path: built.path).buildID)
    mkdir(directory.file(".build-id"), 0o700)
    mkdir(directory.file(".build-id/\(buildID.prefix(2))"), 0o700)
    rename(
      built.debugFile,
      directory.file(".build-id/\(buildID.prefix(2))/\(buildID.dropFirst(2)).debug"))
    try expectNames(built, directory, debug: ["/nonexistent", directory.path])
  }

  @Test func doesNotTakeAFileWithAnotherBuildID() throws {
    let directory = try TemporaryDirectory()
    let built = try build(directory, ["-Wl,--build-id=sha1"])
    let other = try TemporaryDirectory()
    let wrong = try build(other, ["-Wl,--build-id=sha1", "-O2"])
    let buildID = try #require(ElfFile(path: built.path).buildID)
    mkdir(directory.file(".build-id"), 0o700)
    mkdir(directory.file(".build-id/\(buildID.prefix(2))"), 0o700)
    rename(
      wrong.debugFile,
      directory.file(".build-id/\(buildID.prefix(2))/\(buildID.dropFirst(2)).debug"))
    try expectNothing(built, directory, debug: [directory.path])
  }

  @Test(arguments: ["", "/.debug", "/global"])
  func findsItByDebugLink(place: String) throws {
    let directory = try TemporaryDirectory()
    let built = try build(directory, ["-Wl,--build-id=none"])
    try run(["objcopy", "--add-gnu-debuglink=\(built.debugFile)", built.path])
    #expect(try SeparateDebugFile.debugLink(of: ElfFile(path: built.path))?.name == "program.debug")
    var target = directory.path + place
    if place == "/global" { target += directory.path }
    try run(["mkdir", "-p", target])
    if !place.isEmpty { rename(built.debugFile, target + "/program.debug") }
    try expectNames(built, directory, debug: [directory.file("global")])
    // Another content no longer has the checksum.
    try run([
      "objcopy", "--add-section", ".extra=\(directory.file("program.c"))",
      target + "/program.debug",
    ])
    try expectNothing(built, directory, debug: [directory.file("global")])
  }

  @Test func unpacksMiniDebugInformation() throws {
    let directory = try TemporaryDirectory()
    let built = try build(directory)
    // As Fedora packages are built: a symbol table alone, packed into a section.
    let mini = directory.file("mini")
    try run([
      "objcopy", "-S", "--remove-section", ".gnu_debuglink", "--remove-section", ".comment",
      built.debugFile, mini,
    ])
    try run(["objcopy", "--strip-debug", built.debugFile, mini])
    try run(["xz", "-k", mini])
    try run(["objcopy", "--add-section", ".gnu_debugdata=\(mini).xz", built.path])
    try expectNames(built, directory, debug: [], lines: false)
  }

  @Test func leavesDamagedMiniDebugInformationAlone() throws {
    let directory = try TemporaryDirectory()
    let built = try build(directory)
    let damaged = try directory.write(
      "mini.xz", [0xfd, 0x37, 0x7a, 0x58, 0x5a, 0, 0, 4] + Array(repeating: 7, count: 500))
    try run(["objcopy", "--add-section", ".gnu_debugdata=\(damaged)", built.path])
    try expectNothing(built, directory, debug: [])
    // Something that unpacks to more than is allowed.
    try run(["sh", "-c", "head -c 80000000 /dev/zero | xz -1 > \(directory.file("bomb.xz"))"])
    try run([
      "objcopy", "--update-section", ".gnu_debugdata=\(directory.file("bomb.xz"))", built.path,
    ])
    try expectNothing(built, directory, debug: [])
  }

  @Test func namesAStrippedLibraryByItsDynamicSymbols() throws {
    let directory = try TemporaryDirectory()
    let built = try build(directory, ["-rdynamic"])
    let program = try ProgramUnderTest(
      built.path, in: directory, options: SymbolizerOptions(debugDirectories: []))
    let exported = program.frames(atVirtualAddress: try #require(built.symbols["exported"]))
    #expect(exported.map(\.function) == ["exported"])
    let helper = program.frames(atVirtualAddress: try #require(built.symbols["helper"]))
    #expect(helper.map(\.unresolved) == [.noSymbol])
  }

  /// Debian's debug symbols of the C library name functions that its dynamic table does not have.
  @Test(
    .enabled(
      if: findDebugFileOfTheCLibrary() != nil,
      "needs the debug symbols of the C library (libc6-dbg)"))
  func namesTheCLibrarysOwnFunctions() throws {
    let debugFile = try #require(findDebugFileOfTheCLibrary())
    let directory = try TemporaryDirectory()
    let built = try build(directory)
    let program = try ProgramUnderTest(built.path, in: directory)
    let library = try #require(
      ProcessMaps.read(processID: program.process.processID).first {
        $0.path.hasSuffix("/libc.so.6") && $0.permissions.contains(.execute)
      })
    let elf = try ElfFile(path: library.path)
    let bias = library.start - (try #require(elf.virtualAddress(ofMappingAt: library.fileOffset)))
    let internals = try symbols(of: debugFile)
    for name in ["_int_malloc", "_int_free", "sysmalloc"] {
      let start = try #require(internals[name])
      let frames = program.frames([bias + start], leafIsExact: true)
      #expect(frames.last?.function == name)
      let output = try run(["addr2line", "-i", "-e", debugFile, String(start, radix: 16)])
      // The library is built in a relative directory, which addr2line puts in front of names that have it already.
      let places = output.split(separator: "\n").map {
        $0.split(separator: " ")[0].replacing("./malloc/./malloc/", with: "malloc/")
      }
      #expect(frames.map { "\($0.file ?? "?"):\($0.line ?? 0)" } == places.map { String($0) })
    }
  }
}

private func findDebugFileOfTheCLibrary() -> String? {
  guard let buildID = try? ElfFile(path: "/lib/x86_64-linux-gnu/libc.so.6").buildID else {
    return nil
  }
  let path = "/usr/lib/debug/.build-id/\(buildID.prefix(2))/\(buildID.dropFirst(2)).debug"
  return access(path, R_OK) == 0 ? path : nil
}
