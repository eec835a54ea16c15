import Testing

@testable import TextOutput

@Suite struct TextOutputTests {
  @Test func escapes() {
    #expect(escapedForTerminal("plain é 漢") == "plain é 漢")
    #expect(escapedForTerminal("a\u{1b}[1m\nb\u{202e}") == "a\\x1b[1m\\x0ab\\u{202e}")
  }

  @Test func jsonNumbers() {
    var writer = JSONWriter()
    writer.array([0]) { writer, _ in
      writer.integer(UInt64.max)
      writer.number(.nan)
      writer.number(0.5)
      writer.object { $0.member("a", nil as String?) }
      writer.string("\u{1F600}\u{e0001}")
    }
    let text = String(decoding: writer.bytes, as: UTF8.self)
    #expect(text == #"[18446744073709551615,null,0.5,{"a":null},"😀\udb40\udc01"]"#)
  }
}
