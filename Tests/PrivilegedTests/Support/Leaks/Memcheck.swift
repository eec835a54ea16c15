import Glibc
import TestTools

/// Valgrind's memcheck on a program, and what it finds.
enum Memcheck {
  static var isInstalled: Bool { findTool("valgrind") != nil }

  /// Runs a command to its end and returns the blocks that it and its forked children have left.
  ///
  /// Blocks that libc and libstdc++ free for memcheck's sake alone are left in, as they are without it.
  static func records(of command: [String], environment: [String: String] = [:]) throws -> [LeakRecord] {
    for _ in 0..<10 {
      let directory = try TemporaryDirectory()
      let program = try RunningProgram(
        [
          "valgrind", "-q", "--leak-check=full", "--show-leak-kinds=all", "--leak-resolution=high",
          "--num-callers=60", "--keep-debuginfo=yes", "--run-libc-freeres=no", "--run-cxx-freeres=no",
          "--xml=yes", "--xml-file=\(directory.file("%p.xml"))",
        ] + command, environment: environment)
      let output = program.readOutput(timeout: patience)
      let status = program.wait()
      // A leaktrace elsewhere on the host stops every new child at its fork, and valgrind does not stand that.
      if status == 128 + SIGTRAP, isTracedElsewhere() { continue }
      guard status == 0 else {
        throw ToolFailure(command: "valgrind \(command.joined(separator: " "))", status: status, output: output)
      }
      return try files(in: directory.path).flatMap { name in
        records(inXML: String(decoding: contents(of: directory.file(name)), as: UTF8.self))
      }
    }
    throw ToolFailure(command: "valgrind", status: 128 + SIGTRAP, output: "killed by the probes of another leaktrace")
  }

  private static func files(in directory: String) throws -> [String] {
    try run(["/bin/ls", directory]).split(separator: "\n").map(String.init)
  }

  private static func isTracedElsewhere() -> Bool {
    let names = (try? run(["/bin/sh", "-c", "cat /proc/[0-9]*/comm 2>/dev/null || true"])) ?? ""
    return names.split(separator: "\n").contains { $0.hasPrefix("leaktrace") }
  }

  /// Reads Valgrind's XML, protocol 4, which has one element a line.
  static func records(inXML text: String) -> [LeakRecord] {
    var records: [LeakRecord] = []
    var processID: Int32 = 0
    var kind: LeakKind?
    var blocks = Blocks(0, 0)
    var functions: [String] = []
    for line in text.split(separator: "\n") {
      guard let (tag, value) = element(in: line) else { continue }
      switch tag {
      case "pid": processID = Int32(value) ?? 0
      case "kind":
        kind = names[value]
        functions = []
      // "72 (24 direct, 48 indirect) bytes in 1 blocks are definitely lost": the sum of both is in leakedbytes.
      case "text": blocks.bytes = directBytes(in: value) ?? 0
      case "leakedbytes": if blocks.bytes == 0 { blocks.bytes = UInt64(value) ?? 0 }
      case "leakedblocks": blocks.count = UInt64(value) ?? 0
      case "fn": functions.append(unescaped(value))
      case "/error":
        guard let kind else { continue }
        var kinds = LeakKinds()
        kinds[kind] = blocks
        records.append(LeakRecord(processID: processID, kinds: kinds, functions: functions))
        blocks = Blocks(0, 0)
      default: break
      }
    }
    return records
  }

  private static let names: [String: LeakKind] = [
    "Leak_DefinitelyLost": .definite, "Leak_IndirectlyLost": .indirect, "Leak_PossiblyLost": .possible,
    "Leak_StillReachable": .reachable,
  ]

  /// `<tag>value</tag>` or `</tag>` alone.
  private static func element(in line: Substring) -> (tag: String, value: String)? {
    let line = line.drop { $0 == " " }
    guard line.first == "<", let end = line.firstIndex(of: ">") else { return nil }
    let tag = line[line.index(after: line.startIndex)..<end]
    let rest = line[line.index(after: end)...]
    return (String(tag), String(rest.hasSuffix("</\(tag)>") ? rest.dropLast(tag.count + 3) : rest))
  }

  private static func directBytes(in text: String) -> UInt64? {
    guard let open = text.firstIndex(of: "("), text.contains(" direct") else { return nil }
    return UInt64(text[open...].dropFirst().prefix { $0 != " " }.filter(\.isNumber))
  }

  private static func unescaped(_ text: String) -> String {
    text.replacing("&lt;", with: "<").replacing("&gt;", with: ">").replacing("&amp;", with: "&")
  }
}
