import Glibc
import Testing
import TextOutput
import TraceModel

@testable import ReportFormats

/// Compares reports with the files in Golden/, where each report has a folder. Run with LEAKTRACE_UPDATE_GOLDEN=1 to write
/// them anew, then read the difference.
@Suite struct GoldenTests {
  static let directory =
    String(#filePath.split(separator: "/").dropLast().reduce("") { $0 + "/" + $1 }) + "/Golden/"

  static let cases: [(file: String, bytes: [UInt8])] = {
    var cases: [(String, [UInt8])] = []
    for (name, report) in SyntheticReports.all {
      cases.append((name + ".txt", TextReport.render(report)))
      cases.append((name + ".memleak", MemleakReport.render(report)))
      cases.append((name + ".json", JSONReport.render(report)))
      for format in ReportFormats.all
      where !["text", "memleak", "json", "pprof", "html", "flamegraph"].contains(format.name) {
        guard name == "process" || name == "hostile" else { continue }
        cases.append((name + "." + format.name, format.render(report, ReportOptions())))
      }
    }
    var options = TextOptions(top: 1, showAllocations: true, timestamps: false, showProbes: true)
    options.shortenFunctionName = { String($0.prefix { $0 != "(" && $0 != "<" }) }
    for (suffix, render) in [("txt", TextReport.render), ("memleak", MemleakReport.render)] {
      cases.append(("process-allocations.\(suffix)", render(SyntheticReports.process, options)))
      cases.append(("process-full-names.\(suffix)", render(SyntheticReports.process, TextOptions(fullNames: true))))
    }
    var full = TextOptions(showAllocations: true)
    full.suppressionEntry = { "{\n   entry of \($0.allocator)\n}\n" }
    cases.append(
      ("kernel-probes.memleak", MemleakReport.render(SyntheticReports.kernel, TextOptions(showProbes: true))))
    cases.append(("where-memory-is.txt", Array(TextReport.whereMemoryIs(SyntheticReports.whereMemoryIs).utf8)))
    cases.append(("leaks-allocations.txt", TextReport.render(SyntheticReports.leaks, full)))
    cases.append(("leaks-allocations.memleak", MemleakReport.render(SyntheticReports.leaks, full)))
    for (name, report) in SyntheticReports.screens {
      var options = TextOptions()
      options.width = 80
      options.isShort = true
      options.subject = "-p 30070"
      cases.append(("screen-\(name).txt", TextReport.render(report, options)))
    }
    return cases
  }()

  @Test(arguments: cases.map(\.file)) func golden(file: String) throws {
    let bytes = try #require(Self.cases.first { $0.file == file }?.bytes)
    let path = Self.directory + "\(file.prefix { $0 != "-" && $0 != "." })/\(file)"
    if getenv("LEAKTRACE_UPDATE_GOLDEN") != nil {
      try #require(writeFile(path, bytes))
      return
    }
    let expected = try #require(readFile(path), "\(file) is missing; see the suite's comment")
    #expect(String(decoding: bytes, as: UTF8.self) == String(decoding: expected, as: UTF8.self))
  }

  /// What answers fits a screen of 80×24.
  @Test(arguments: SyntheticReports.screens.map(\.name)) func theFirstScreenFits(name: String) throws {
    let report = try #require(SyntheticReports.screens.first { $0.name == name }?.report)
    for width in [80, 100, 200] {
      var options = TextOptions()
      options.width = width
      options.isShort = true
      let lines = String(decoding: TextReport.render(report, options), as: UTF8.self).split(separator: "\n")
      #expect(lines.count <= 24)
      #expect(lines.allSatisfy { $0.count <= width }, "\(lines)")
    }
  }

  @Test(arguments: SyntheticReports.all.map(\.name)) func nothingUnsafeIsWritten(name: String)
    throws
  {
    let report = try #require(SyntheticReports.all.first { $0.name == name }?.report)
    // A recording is compressed; its reader escapes what it shows.
    for format in ReportFormats.all where format.name != "pprof" {
      let text = String(decoding: format.render(report, ReportOptions()), as: UTF8.self)
      let unsafe = text.unicodeScalars.filter { isUnsafe($0) && !["\n", "\t", "\r"].contains($0) }
      #expect(unsafe.isEmpty, "\(format.name)")
    }
  }

  /// Every document against the schema that is shipped, with Python's jsonschema where it is installed.
  @Test func jsonIsValid() throws {
    let python = "/usr/bin/python3"
    guard access(python, X_OK) == 0, run("\(python) -c 'import jsonschema' 2>/dev/null") == 0 else {
      print("skipped: python3-jsonschema is not installed")
      return
    }
    var template = Array("/tmp/leaktrace-json-XXXXXX".utf8CString)
    let descriptor = mkstemp(&template)
    try #require(descriptor >= 0)
    close(descriptor)
    let path = String(decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
    defer { unlink(path) }
    let documents = SyntheticReports.all.flatMap { JSONReport.render($0.report) }
    try #require(writeFile(path, documents))
    let schema = Self.directory + "../../../docs/schema/leaktrace.report-1.schema.json"
    let script = """
      import json, sys, jsonschema
      schema = json.load(open(sys.argv[1]))
      jsonschema.Draft202012Validator.check_schema(schema)
      lines = open(sys.argv[2], encoding='utf-8').read().split(chr(10))
      assert len(lines) == \(SyntheticReports.all.count + 1) and lines[-1] == '', len(lines)
      for line in lines[:-1]:
          document = json.loads(line, parse_constant=lambda name: sys.exit(name))
          jsonschema.Draft202012Validator(schema).validate(document)
      document = json.loads(lines[3])
      assert document['totals']['outstanding_bytes'] == 2**64 - 1
      assert document['notes'][0].startswith(chr(27) + '[2J')
      """
    #expect(run("\(python) -c \"\(script)\" '\(schema)' '\(path)'") == 0)
  }

  private func run(_ command: String) -> Int32 { system(command) }
}

func readFile(_ path: String) -> [UInt8]? {
  guard let file = fopen(path, "rb") else { return nil }
  defer { fclose(file) }
  fseek(file, 0, SEEK_END)
  var bytes = [UInt8](repeating: 0, count: ftell(file))
  rewind(file)
  return fread(&bytes, 1, bytes.count, file) == bytes.count ? bytes : nil
}

func writeFile(_ path: String, _ bytes: [UInt8]) -> Bool {
  guard let file = fopen(path, "wb") else { return false }
  defer { fclose(file) }
  return fwrite(bytes, 1, bytes.count, file) == bytes.count
}
