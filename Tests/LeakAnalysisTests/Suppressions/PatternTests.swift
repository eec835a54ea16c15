import Testing

@testable import LeakAnalysis

@Suite struct PatternTests {
  @Test(arguments: [
    ("malloc", "malloc", true), ("malloc", "xmalloc", false), ("malloc", "mallocx", false),
    ("*malloc", "xmalloc", true), ("mal*", "malloc", true), ("m?lloc", "malloc", true), ("m?lloc", "mlloc", false),
    ("*", "", true), ("?", "", false), ("", "", true), ("", "a", false), ("a*b*c", "aXbXbXc", true),
    ("a*b*c", "aXbXbX", false), ("*aab", "aaaab", true), ("a**b", "ab", true), ("_ZN3foo*Ei", "_ZN3foo3barEi", true),
  ]) func wildcards(pattern: String, name: String, matches: Bool) {
    #expect(WildcardPattern(pattern).matches(name) == matches)
  }

  /// As `TemplateMatch` of LeakSanitizer's runtime, except that a `$` finds the end wherever the last piece stands first.
  @Test(arguments: [
    ("foo", "a foo b", true), ("foo", "fo", false), ("^foo", "foobar", true), ("^foo", "xfoo", false),
    ("foo$", "xfoo", true), ("foo$", "foox", false), ("^foo$", "foo", true), ("^foo$", "foofoo", false),
    ("a*b", "xaYYbz", true), ("a*b", "ba", false), ("^a*b$", "aXXb", true), ("^a*b$", "aXXbc", false),
    ("^*b", "ab", true), ("*", "a", true), ("*", "", false), ("", "a", true), ("foo*$", "foobar", true),
    ("ab$", "abab", true), ("foo$ignored", "foo", true), ("a*a", "a", false), ("a*a$", "aa", true),
    ("operator new", "operator new(unsigned long)", true),
  ]) func templates(template: String, name: String, matches: Bool) {
    #expect(NameTemplate(template).matches(name) == matches)
  }

  /// Patterns made to take long do not.
  @Test func manyStars() {
    let stars = String(repeating: "a*", count: 2000) + "b"
    let name = String(repeating: "a", count: 4000)
    let clock = ContinuousClock()
    let took = clock.measure {
      #expect(!WildcardPattern(stars).matches(name))
      #expect(!NameTemplate(stars).matches(name))
    }
    #expect(took < .seconds(20))
  }
}
