import Glibc
import ProcessImage
import TestTools
import Testing
import TraceModel

@testable import Symbolization

@Suite struct SymbolTableTests {
  private func build(_ directory: TemporaryDirectory, _ options: [String]) throws -> String {
    let source = try directory.write("program.c", waitingProgram)
    try run(["gcc", "-O1", "-o", directory.file("program"), source] + options)
    return directory.file("program")
  }

  @Test(arguments: [[], ["-static"], ["-no-pie"], ["-static-pie"], ["-fuse-ld=gold"]])
  func namesFunctionsOfAProgram(options: [String]) throws {
    let directory = try TemporaryDirectory()
    let path = try build(directory, options)
    let program = try ProgramUnderTest(path, in: directory)
    let addresses = try symbols(of: path)
    for name in ["helper", "exported", "main", "_start"] {
      let start = try #require(addresses[name])
      let frames = program.frames(atVirtualAddress: start + 1)
      #expect(frames.map(\.function) == [name])
      #expect(frames[0].functionOffset == 1)
      #expect(frames[0].module == path)
      #expect(frames[0].moduleOffset == start + 1)
      #expect(frames[0].address == program.address(ofVirtualAddress: start + 1))
      #expect(try frames[0].buildID == ElfFile(path: path).buildID)
      #expect(frames[0].unresolved == nil && !frames[0].isInlined)
    }
  }

  @Test func looksUpReturnAddressesInsideTheCall() throws {
    let directory = try TemporaryDirectory()
    let path = try build(directory, [])
    let program = try ProgramUnderTest(path, in: directory)
    // helper lies before exported, back to back or with padding: the end of one is the return address of its last call.
    let elf = try ElfFile(path: path)
    var ends: [String: UInt64] = [:]
    elf.forEachSymbol(in: .full) { symbol in
      if symbol.kind == .function {
        ends[String(cString: symbol.name)] = symbol.value + symbol.size
      }
    }
    let end = try program.address(ofVirtualAddress: #require(ends["exported"]))
    let frames = program.frames([end, end], leafIsExact: false)
    #expect(frames.map(\.function) == ["exported", "exported"])
    #expect(frames.map(\.address) == [end, end])
    let exact = program.frames([end, end], leafIsExact: true)
    #expect(exact[0].function != "exported")
    #expect(exact[1].function == "exported")
  }

  @Test func namesLinkageStubs() throws {
    let directory = try TemporaryDirectory()
    for options in [
      ["-fcf-protection=full"], ["-fcf-protection=none"], ["-Wl,-z,now"], ["-fuse-ld=gold"],
    ] {
      let path = try build(directory, options)
      let program = try ProgramUnderTest(path, in: directory)
      // objdump names the stubs in its own way, from the relocations.
      let disassembly = try run(["objdump", "-d", path])
      var checked = 0
      for line in disassembly.split(separator: "\n") where line.hasSuffix("@plt>:") {
        let address = try #require(UInt64(line.prefix(16), radix: 16))
        let name = String(line.dropFirst(18).dropLast(2))
        #expect(program.frames(atVirtualAddress: address).map(\.function) == [name])
        checked += 1
      }
      #expect(checked >= 2)
    }
  }

  @Test func prefersTheNamePeopleKnow() throws {
    let directory = try TemporaryDirectory()
    let program = try ProgramUnderTest(build(directory, []), in: directory)
    for name in ["malloc", "free", "calloc", "realloc", "write", "fork", "memcpy"] {
      let address = UInt64(UInt(bitPattern: dlsym(nil, name)))
      let own = try ProcessMaps.read(processID: getpid())
      let ours = try #require(own.first { $0.contains(address) })
      // Under a tracer or sanitizer another library may provide the function.
      try #require(ours.path.hasSuffix("/libc.so.6"))
      let theirs = try #require(
        ProcessMaps.read(processID: program.process.processID).first {
          $0.path == ours.path && $0.fileOffset == ours.fileOffset
        })
      let frames = program.frames([address - ours.start + theirs.start + 1], leafIsExact: true)
      if name == "memcpy" {
        // An indirect function: dlsym gives the implementation that was picked.
        #expect(frames.last?.function?.contains("mem") == true)
      } else {
        #expect(frames.last?.function == name)
      }
    }
  }

  @Test func findsNoFunctionsWhereThereAreNone() throws {
    let directory = try TemporaryDirectory()
    let path = try build(directory, ["-s"])
    let program = try ProgramUnderTest(path, in: directory)
    let elf = try ElfFile(path: path)
    let text = try #require(elf.section(named: ".text"))
    let frames = program.frames(atVirtualAddress: text.address + 64)
    #expect(frames.count == 1)
    #expect(frames[0].function == nil)
    #expect(frames[0].unresolved == .noSymbol)
    #expect(frames[0].module == path)
    #expect(frames[0].moduleOffset == text.address + 64)
    #expect(program.frames([0], leafIsExact: true).map(\.unresolved) == [.unmapped])
    #expect(program.frames([.max], leafIsExact: false).map(\.unresolved) == [.unmapped])
    let other = program.symbolizer.frames(
      for: StackTrace(addresses: [1, 2], completeness: .complete), processID: 1, generation: 9,
      leafIsExact: true)
    #expect(other.map(\.unresolved) == [.processGone, .processGone])
  }

  @Test func symbolizesAfterTheProcessHasEnded() throws {
    let directory = try TemporaryDirectory()
    let path = try build(directory, [])
    let addresses = try symbols(of: path)
    let program = try ProgramUnderTest(path, in: directory)
    unlink(path)
    kill(program.process.processID, SIGKILL)
    program.process.wait()
    let start = try #require(addresses["helper"])
    #expect(program.frames(atVirtualAddress: start).map(\.function) == ["helper"])
    program.symbolizer.trim()
    #expect(program.frames(atVirtualAddress: start).map(\.function) == ["helper"])
    program.symbolizer.forget(processID: program.process.processID, generation: 1)
    #expect(program.frames(atVirtualAddress: start).map(\.unresolved) == [.processGone])
  }

  @Test func namesTheVirtualSharedObject() throws {
    let directory = try TemporaryDirectory()
    let program = try ProgramUnderTest(build(directory, []), in: directory)
    let mapping = try #require(
      ProcessMaps.read(processID: program.process.processID).first { $0.path == "[vdso]" })
    var expected: UInt64?
    let image = try RemoteMemory(processID: program.process.processID).bytes(
      at: mapping.start, count: Int(mapping.end - mapping.start))
    let elf = try image.withUnsafeBytes { try ElfFile(copying: $0, name: "vdso") }
    elf.forEachSymbol(in: .dynamic) { symbol in
      if strcmp(symbol.name, "clock_gettime") == 0 { expected = symbol.value }
    }
    let frames = try program.frames([mapping.start + #require(expected) + 1], leafIsExact: true)
    #expect(frames.map(\.function) == ["clock_gettime"])
    #expect(frames[0].module == "[vdso]")
    #expect(frames[0].functionOffset == 1)
  }
}
