import Glibc
import ProcessImage
import TestTools
import Testing
import TraceModel

@testable import Symbolization

/// Debug information of which dwz has moved a part into a file that several share.
@Suite(.enabled(if: findTool("dwz") != nil, "needs dwz"))
struct SupplementTests {
  /// Two programs that have most in common, `one` and `two`, and what they share, `shared`.
  private func build(_ directory: TemporaryDirectory) throws {
    for name in ["one", "two"] {
      // Enough for dwz to find it worth while.
      let common = (0..<40).map { number in
        """
        struct thing_number_\(number) { int first_member; long second_member; struct thing_number_\(number) *next; };
        __attribute__((noinline)) long function_number_\(number)(struct thing_number_\(number) *thing) {
          return thing->first_member + getchar() + (thing->next ? thing->next->second_member : 0);
        }
        """
      }
      let source = try directory.write(
        "common.c", "#include <stdio.h>\n" + common.joined(separator: "\n") + "\n" + waitingProgram)
      try run(["gcc", "-O1", "-g", "-Wl,--build-id=sha1", "-o", directory.file(name), source])
    }
    try run(["dwz", "-m", directory.file("shared"), directory.file("one"), directory.file("two")])
    let link = try ElfFile(path: directory.file("one")).section(named: ".gnu_debugaltlink")
    try #require(link != nil)
  }

  private func frames(_ directory: TemporaryDirectory) throws -> [Frame] {
    let path = directory.file("one")
    let program = try ProgramUnderTest(
      path, in: directory, options: SymbolizerOptions(debugDirectories: []))
    return ["helper", "exported", "function_number_7"].flatMap { name in
      (try? symbols(of: path)[name]).flatMap { $0.map { program.frames(atVirtualAddress: $0) } } ?? []
    }
  }

  @Test func readsWhatWasMovedThere() throws {
    let directory = try TemporaryDirectory()
    try build(directory)
    let frames = try frames(directory)
    #expect(frames.map(\.function) == ["helper", "exported", "function_number_7"])
    #expect(frames.allSatisfy { $0.file == directory.file("common.c") && $0.line != nil })
  }

  /// A program can name any file as the supplement. Only one that has the right build id is taken, and none is opened in a
  /// way that could wait for ever or do something.
  @Test func opensNothingThatIsNotTheSupplement() throws {
    let directory = try TemporaryDirectory()
    try build(directory)
    let bait = try directory.write("bait", contents(of: directory.file("shared")))
    let pipe = directory.file("pipe")
    mkfifo(pipe, 0o600)
    for target in [pipe, bait] {
      let link = try directory.write("link", Array(target.utf8) + [0] + Array(repeating: 7, count: 20))
      try run(["objcopy", "--update-section", ".gnu_debugaltlink=\(link)", directory.file("one")])
      let watch = inotify_init1(Int32(IN_NONBLOCK | IN_CLOEXEC))
      defer { close(watch) }
      inotify_add_watch(watch, pipe, UInt32(IN_OPEN))
      let frames = try frames(directory)
      // The symbol table still names functions.
      #expect(frames.map(\.function) == ["helper", "exported", "function_number_7"])
      var event = [UInt8](repeating: 0, count: 4096)
      #expect(read(watch, &event, event.count) == -1 && errno == EAGAIN, "the pipe was opened")
    }
  }
}
