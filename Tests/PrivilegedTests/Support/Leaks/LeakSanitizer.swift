import TestTools

/// GCC's LeakSanitizer on a program that was compiled with it.
enum LeakSanitizer {
  /// Leaks by stack: direct ones as definite, indirect ones as indirect. It has no other kinds, and calls all of a lost
  /// cycle indirect.
  static func records(of command: [String], environment: [String: String] = [:]) throws -> [LeakRecord] {
    let options = ["LSAN_OPTIONS": "exitcode=23:fast_unwind_on_malloc=0"].merging(environment) { $1 }
    let program = try RunningProgram(command, environment: options, capturesErrors: true)
    let output = program.readOutput(timeout: patience)
    let errors = program.readErrors(timeout: patience)
    let status = program.wait()
    // 0 when there is no leak.
    guard status == 23 || status == 0 && !errors.contains("leak of") else {
      throw ToolFailure(command: command.joined(separator: " "), status: status, output: output + errors)
    }
    return records(in: errors)
  }

  /// `Direct leak of 48 byte(s) in 1 object(s) allocated from:`, then a line per frame: `    #1 0x5… in main file.c:7`.
  static func records(in text: String) -> [LeakRecord] {
    var records: [LeakRecord] = []
    for line in text.split(separator: "\n") {
      let words = line.split(separator: " ")
      if words.count > 6, words[1] == "leak", let bytes = UInt64(words[3]), let count = UInt64(words[6]) {
        var kinds = LeakKinds()
        kinds[words[0] == "Direct" ? .definite : .indirect] = Blocks(bytes, count)
        records.append(LeakRecord(processID: 0, kinds: kinds, functions: []))
      } else if words.count > 3, words[0].first == "#", words[2] == "in", let last = records.indices.last {
        records[last].functions.append(String(words[3].prefix { $0 != "(" }))
      }
    }
    return records
  }
}
