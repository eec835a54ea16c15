import HostObservation
import TestTools
import Testing
import TextOutput

/// Every Unicode scalar before and behind every character that means something, in every kind of text, read back by parsers
/// of others.
struct EscapingTests {
  private static let python = "/usr/bin/python3"
  private static let special = ";,\"'`$\\<>&{}=+-@#|%!*~()[]/: \n\r\t0"

  /// Where LEAKTRACE_FUZZ_ROUNDS is set, all there are, which takes minutes. Else those by which characters come to consist of
  /// several scalars, those that are not seen or mean something, and every 997th of the others, which are alike.
  private static let scalars: [Unicode.Scalar] = {
    let isWhole = fuzzRounds(0) > 0
    var scalars: [Unicode.Scalar] = []
    for value in UInt32(0)...0x10_ffff {
      guard let scalar = Unicode.Scalar(value) else { continue }
      if isWhole || isOdd(scalar) { scalars.append(scalar) }
    }
    return scalars
  }()

  private static func isOdd(_ scalar: Unicode.Scalar) -> Bool {
    if scalar.value < 0x100 || scalar.value % 997 == 0 || isUnsafe(scalar) { return true }
    let properties = scalar.properties
    if properties.isGraphemeExtend || properties.isWhitespace { return true }
    return properties.generalCategory == .spacingMark || properties.generalCategory == .modifierSymbol
  }

  private static func name(_ scalar: Unicode.Scalar, _ special: String = special) -> String {
    var name = String.UnicodeScalarView()
    for other in special.unicodeScalars { name.append(contentsOf: [scalar, other, scalar]) }
    return String(name)
  }

  /// What the Python programs below share: the same names, from the same scalars.
  private static let prelude = """
    import sys, re, csv, json, io
    import xml.parsers.expat
    special = ';,"\\'`$\\\\<>&{}=+-@#|%!*~()[]/: \\n\\r\\t0'
    scalars = [int(word) for word in open(sys.argv[1]).read().split()]
    def name(scalar, special=special): return ''.join(chr(scalar) + other + chr(scalar) for other in special)
    raw = open(sys.argv[2], 'rb').read()
    text = raw.decode('utf-8')
    def check(condition, *what):
        if not condition: sys.exit(' '.join(str(word) for word in what))
    shown = re.compile(r'\\\\x[0-9a-f]{2}|\\\\u\\{[0-9a-f]+\\}')
    import unicodedata
    def is_bad(c): return unicodedata.category(c) in ('Cc', 'Cf', 'Zl', 'Zp') or ord(c) & 0xfffe == 0xfffe
    def check_clean(text, what): check(not any(is_bad(c) for c in set(text)), 'unsafe characters in', what, [hex(ord(c)) for c in set(text) if is_bad(c)])

    """

  private func check(_ scalars: [Unicode.Scalar], _ text: String, _ program: String) throws {
    let directory = try TemporaryDirectory()
    let list = try directory.write("scalars", scalars.map { "\($0.value)" }.joined(separator: " "))
    let file = try directory.write("text", text)
    let script = try directory.write("check.py", Self.prelude + program)
    try run([Self.python, script, list, file])
  }

  @Test func terminalsAndLogsGetLines() throws {
    let text = Self.scalars.map { escapedForTerminal(Self.name($0)) + "\n" }.joined()
    try check(
      Self.scalars, text,
      """
      lines = text.split('\\n')[:-1]
      check(len(lines) == len(scalars), 'lines', len(lines), len(scalars))
      check(len(text.splitlines()) == len(lines), 'some of the lines come apart')
      check_clean(text.replace('\\n', ''), 'lines')
      """)
  }

  @Test func markupIsRead() throws {
    var text = "<r>\n"
    for scalar in Self.scalars {
      let name = escapedForMarkup(Self.name(scalar))
      text += "<e a=\"\(name)\" b='\(name)'>\(name)</e>\n"
    }
    try check(
      Self.scalars, text + "</r>\n",
      """
      seen = []
      parser = xml.parsers.expat.ParserCreate()
      parser.buffer_text, parser.buffer_size = True, 1 << 16
      def start(element, attributes):
          global inner, given
          inner, given = '', attributes
      def data(piece):
          global inner
          inner += piece
      def end(element):
          if element == 'e':
              check(given == {'a': inner, 'b': inner}, 'attribute and text differ', repr(inner), given)
              seen.append(inner)
      parser.StartElementHandler, parser.CharacterDataHandler, parser.EndElementHandler = start, data, end
      inner, given = '', {}
      parser.Parse(raw, True)
      check(len(seen) == len(scalars), 'elements', len(seen))
      for value in seen: check_clean(value, 'markup')
      for scalar, value in zip(scalars, seen):
          if not shown.search(value.replace('\\\\x0a', '').replace('\\\\x0d', '').replace('\\\\x09', '')):
              plain = value.replace('\\\\x0a', '\\n').replace('\\\\x0d', '\\r').replace('\\\\x09', '\\t')
              check(plain == name(scalar), 'not the same', hex(scalar))
      """)
  }

  @Test func tablesAreReadAndHoldNoFormulas() throws {
    var text = ""
    for scalar in Self.scalars {
      let names = Self.special.unicodeScalars.map { String(String.UnicodeScalarView([$0, scalar])) }
      text += ([Self.name(scalar)] + names).map { csvCell($0) }.joined(separator: ",") + ",end\r\n"
    }
    try check(
      Self.scalars, text,
      """
      rows = list(csv.reader(io.StringIO(text, newline=''), strict=True))
      check(len(rows) == len(scalars), 'rows', len(rows))
      formulas = set('=+-@|%\\t\\r\\n\\uff1d\\uff0b\\uff0d\\uff20')
      for row in rows:
          check(len(row) == len(special) + 2 and row[-1] == 'end', 'cells', row)
          for cell in row: check(cell.lstrip(' ')[:1] not in formulas, 'formula', repr(cell))
      check_clean(text.replace('\\r\\n', ''), 'cells')
      # The same where a semicolon separates cells: no cell begins in the middle of a name.
      for line in text.split('\\r\\n')[:-1]:
          for cell in next(csv.reader([line], delimiter=';')):
              pass
      """)
  }

  @Test func jsonIsReadAsItWas() throws {
    var writer = JSONWriter()
    writer.array(Self.scalars) { $0.string(Self.name($1)) }
    try check(
      Self.scalars, String(decoding: writer.bytes, as: UTF8.self),
      """
      values = json.loads(text)
      check(len(values) == len(scalars))
      for scalar, value in zip(scalars, values): check(value == name(scalar), hex(scalar))
      check_clean(text, 'json')
      """)
  }

  @Test func labelsAreRead() throws {
    let text = Self.scalars.map { "m{a=\"\(escapedForLabel(Self.name($0)))\",b=\"end\"} 1\n" }.joined()
    try check(
      Self.scalars, text,
      """
      lines = text.split('\\n')[:-1]
      check(len(lines) == len(scalars) == len(text.splitlines()), 'lines')
      whole = re.compile(r'm\\{a="((?:[^"\\\\\\n]|\\\\["\\\\n])*)",b="end"\\} 1')
      for scalar, line in zip(scalars, lines):
          found = whole.fullmatch(line)
          check(found, 'not a sample', repr(line))
          value = re.sub(r'\\\\(.)', lambda match: '\\n' if match[1] == 'n' else match[1], found[1])
          check(len(value) == 3 * len(special), 'not the same length', hex(scalar))
      check_clean(text.replace('\\n', ''), 'labels')
      """)
  }

  @Test func foldedStacksAreRead() throws {
    var text = ""
    for scalar in Self.scalars {
      let frames = [
        Self.name(scalar), "#\(scalar)", "\(scalar)#", "f\(scalar)12", "f \(scalar)", "\(scalar) 3.", "f 12",
      ]
      for last in frames.indices {
        text +=
          ([frames[last], "root"] + frames[..<last]).map(foldedFrame).joined(separator: ";") + ";"
          + foldedFrame(frames[last]) + " 77\n"
      }
    }
    try check(
      Self.scalars, text,
      """
      lines = text.split('\\n')[:-1]
      check(len(lines) == 7 * len(scalars) == len(text.splitlines()), 'lines')
      # As flamegraph.pl reads them: a second number would be the one before.
      number = re.compile(r'^(.*)\\s+?(\\d+(?:\\.\\d*)?)$')
      for place, line in enumerate(lines):
          found = number.match(line)
          check(found and found[2] == '77', 'no number', repr(line))
          check(not number.match(found[1]), 'two numbers', repr(line))
          check(line[0] != '#', 'a remark', repr(line))
          frames = found[1].split(';')
          check(len(frames) == place % 7 + 3, 'frames', repr(line))
          check(all(frame == frame.strip() and frame for frame in frames), 'spaces', repr(line))
      """)
  }

  /// What a shell makes of a word is the word.
  @Test(arguments: ["/bin/sh", "/bin/bash"]) func shellsReadTheWordAsItWas(shell: String) throws {
    let words = Self.scalars.flatMap { scalar -> [String] in
      scalar.value == 0
        ? [] : [Self.name(scalar), "x'\(scalar);id", "\(scalar)", "-\(scalar)", "\(scalar)\n\n", "\n\(scalar)"]
    }
    var script = ""
    for word in words {
      let quoted = shellQuoted(word)
      script += "printf '%s\\0' \(quoted)\n"
      // It can be pasted: but for newlines at its end it holds nothing that a terminal would take for a key.
      #expect(!quoted.unicodeScalars.contains { isUnsafe($0) && $0 != "\n" }, "\(quoted)")
    }
    let directory = try TemporaryDirectory()
    let output = try run(["env", "-i", "LC_ALL=C.UTF-8", shell, try directory.write("script", script)])
    var expected = ""
    for word in words { expected += word + "\0" }
    let isSame = Array(output.utf8) == Array(expected.utf8)
    #expect(isSame)
    for (word, read) in zip(words, output.split(separator: "\0", omittingEmptySubsequences: false)) where !isSame {
      try #require(Array(word.utf8) == Array(read.utf8), "\(shellQuoted(word))")
    }
  }

  /// The attack as it was: a control group of a user's whose name ends the quotation with a mark on top of its quote.
  @Test func aControlGroupRunsNothing() throws {
    let directory = try TemporaryDirectory()
    for mark in ["", "\u{301}", "\u{20dd}", "\u{200d}", "\u{fe0f}", "\u{1f3fb}"] {
      for name in [
        "x'\(mark);touch pwned #.service", "$(touch pwned)\(mark).service", "-x\(mark)`touch pwned`.service",
      ] {
        let key = SeriesKey.cgroup("/user.slice/\(name)")
        let series = RankedSeries(key: key, judgement: TrendJudgement(([], [])), bytes: 5, kinds: [])
        var owned = series
        owned.owner = CgroupOwner(path: "/user.slice/\(name)")
        let step = NextStep(for: owned, profile: nil)
        let command = try #require(step.mitigation)
        let script = "cd \(directory.path); sudo() { printf '%s\\0' \"$@\"; }; \(command)"
        let words = try run(["sh", "-c", script]).split(separator: "\0").map(String.init)
        #expect(words.prefix(2) == ["leaktrace", "guard"])
        #expect(words.contains { Array($0.utf8) == Array(name.utf8) }, "\(command)")
        let isOption = name.utf8.first == UInt8(ascii: "-")
        #expect(words.firstIndex(of: "--").map { $0 < words.count - 1 } ?? !isOption)
      }
    }
    #expect(contents(of: directory.file("pwned")).isEmpty)
    #expect(try run(["ls", directory.path]).isEmpty)
  }
}
