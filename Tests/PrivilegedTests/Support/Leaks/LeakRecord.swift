/// memcheck's four kinds of blocks that are never freed.
enum LeakKind: String, CaseIterable {
  case definite, indirect, possible, reachable
}

/// Blocks of one allocation site by kind.
struct LeakKinds: Equatable, CustomStringConvertible {
  private var tallies: [LeakKind: Blocks] = [:]

  init() {}

  /// Each kind as its bytes and its blocks.
  init(
    definite: (UInt64, UInt64) = (0, 0), indirect: (UInt64, UInt64) = (0, 0),
    possible: (UInt64, UInt64) = (0, 0), reachable: (UInt64, UInt64) = (0, 0)
  ) {
    self[.definite] = Blocks(definite.0, definite.1)
    self[.indirect] = Blocks(indirect.0, indirect.1)
    self[.possible] = Blocks(possible.0, possible.1)
    self[.reachable] = Blocks(reachable.0, reachable.1)
  }

  subscript(kind: LeakKind) -> Blocks {
    get { tallies[kind] ?? Blocks(0, 0) }
    set { tallies[kind] = newValue == Blocks(0, 0) ? nil : newValue }
  }

  /// Definitely and indirectly lost: what LeakSanitizer calls leaked.
  var lost: Blocks {
    var sum = self[.definite]
    sum += self[.indirect]
    return sum
  }

  var all: Blocks {
    LeakKind.allCases.reduce(into: Blocks(0, 0)) { $0 += self[$1] }
  }

  mutating func move(_ kind: LeakKind, to other: LeakKind) {
    self[other] += self[kind]
    self[kind] = Blocks(0, 0)
  }

  static func += (sum: inout LeakKinds, part: LeakKinds) {
    for kind in LeakKind.allCases { sum[kind] += part[kind] }
  }

  var description: String {
    let parts = LeakKind.allCases.filter { self[$0] != Blocks(0, 0) }
      .map { "\($0) \(self[$0].bytes)/\(self[$0].count)" }
    return parts.isEmpty ? "nothing" : parts.joined(separator: " ")
  }
}

/// What a tool says of the blocks that were allocated with one stack.
struct LeakRecord {
  var processID: Int32
  var kinds: LeakKinds
  /// Names of the frames from the allocator on, without arguments.
  var functions: [String]

  init(processID: Int32, kinds: LeakKinds, functions: [String]) {
    self.processID = processID
    self.kinds = kinds
    self.functions = functions.map { String($0.prefix { $0 != "(" }) }
  }

  /// The function of the program under test that says what these blocks are, such as `case_tree`; nil for blocks of
  /// libraries. See Tests/Programs/leaks/leaks.h.
  func subject(_ prefixes: [String] = ["case_"]) -> String? {
    functions.first { function in prefixes.contains { function.hasPrefix($0) } }
  }

  /// Allocated by the loader for thread-local variables. The program's own stack is below, for the first access
  /// allocates. memcheck knows none of the pointers that libc keeps to them: it calls a thread's vector of variables
  /// possibly lost, because libc points to its third word.
  var isThreadLocalStorage: Bool {
    functions.contains { ["allocate_dtv", "_dl_allocate_tls", "__tls_get_addr", "_dl_resize_dtv"].contains($0) }
  }
}

extension [LeakRecord] {
  /// Of all blocks, with the environment's copy as no bytes: Valgrind gives its programs more variables.
  var totalWithoutEnvironment: LeakKinds {
    map { record in
      guard record.functions.contains("__add_to_environ") else { return record }
      var record = record
      for kind in LeakKind.allCases where record.kinds[kind].count > 0 { record.kinds[kind].bytes = 0 }
      return record
    }
    .total
  }

  /// Sums by the program's functions; the part of a name behind `__` is left out when cases are asked for.
  func byCase() -> [String: LeakKinds] {
    var sums: [String: LeakKinds] = [:]
    for record in self where !record.isThreadLocalStorage {
      guard let subject = record.subject() else { continue }
      let parts = subject.dropFirst(5).split(separator: "_", omittingEmptySubsequences: false)
      // A double underscore gives an empty part.
      let name = parts.prefix { !$0.isEmpty }.joined(separator: "_")
      sums[name, default: LeakKinds()] += record.kinds
    }
    return sums
  }

  /// Sums by full names of the functions with these prefixes.
  func byFunction(_ prefixes: String...) -> [String: LeakKinds] {
    var sums: [String: LeakKinds] = [:]
    for record in self where !record.isThreadLocalStorage {
      if let subject = record.subject(prefixes) { sums[subject, default: LeakKinds()] += record.kinds }
    }
    return sums
  }

  var total: LeakKinds { reduce(into: LeakKinds()) { $0 += $1.kinds } }
}
