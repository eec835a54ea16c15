import Testing

@testable import Symbolization

@Suite struct FunctionNameShortenerTests {
  @Test(arguments: [
    ("main", 60, "main"),
    (
      "std::vector<int, std::allocator<int> >::push_back(int const&)", 60,
      "std::vector<int, std::allocator<int> >::push_back(…)"
    ),
    (
      "std::vector<int, std::allocator<int> >::push_back(int const&)", 40,
      "std::vector<…>::push_back(…)"
    ),
    (
      "std::map<std::string, std::vector<int, std::allocator<int> >, std::less<std::string> >::find(std::string const&)",
      80, "std::map<std::string, std::vector<…>, std::less<std::string> >::find(…)"
    ),
    (
      "bool operator< <int, std::allocator<int> >(std::vector<int> const&, std::vector<int> const&)",
      60, "bool operator< <int, std::allocator<int> >(…)"
    ),
    (
      "std::ostream& operator<< <std::char_traits<char> >(std::ostream&, char const*)", 60,
      "std::ostream& operator<< <std::char_traits<char> >(…)"
    ),
    (
      "std::_Rb_tree_iterator<std::pair<int const, std::string> >::operator->() const", 40,
      "std::_Rb_tree_iterator<…>::operator->() const"
    ),
    (
      "std::function<void (int, char, long, unsigned long)>::operator()(int, char, long) const", 50,
      "std::function<void (…)>::operator()(…) const"
    ),
    (
      "(anonymous namespace)::Shop::sell(Item const&, unsigned long, unsigned long)::{lambda(int)#1}::operator()(int) const",
      90, "(anonymous namespace)::Shop::sell(…)::{lambda(…)#1}::operator()(int) const"
    ),
    (
      "<alloc::vec::Vec<u8> as core::iter::traits::collect::Extend<u8>>::extend", 40,
      "<alloc::vec::Vec<…> as core::iter::traits::collect::Extend<…>>::extend"
    ),
    (
      "a very long name without any bracket in it that exceeds the limit of sixty", 60,
      "a very long name without any bracket in it that exceeds the limit of sixty"
    ),
    (
      "unbalanced<int, std::allocator<int>::push_back(int const&) and much more to come", 60,
      "unbalanced<int, std::allocator<int>::push_back(int const&) and much more to come"
    ),
    (
      "unbalanced) int, std::allocator<int>::push_back(int const&) and much more to come", 60,
      "unbalanced) int, std::allocator<int>::push_back(int const&) and much more to come"
    ),
    (
      "Foo<int, int, int, int, int, int, int, int, int, int, int, int>::operator>>(std::istream&)",
      40, "Foo<…>::operator>>(…)"
    ),
    (
      "Foo<int, int, int, int, int, int, int, int, int, int, int, int>::operator<=>(Foo const&)",
      40, "Foo<…>::operator<=>(…)"
    ),
    (
      "Foo<int, int, int, int, int, int, int, int, int, int, int, int>::operator new[](unsigned long)",
      40, "Foo<…>::operator new[](…)"
    ),
    ("my_operator<int, int, int, int, int, int, int, int, int, int>::f", 20, "my_operator<…>::f"),
    (
      "closure #1 (Swift.Int) -> Swift.Array<Swift.Dictionary<Swift.String, Swift.Int>> in main.f",
      60, "closure #1 (…) -> Swift.Array<Swift.Dictionary<…>> in main.f"
    ),
    (
      "_StringProcessing.Compiler.ByteCodeGen.(emitQuantification in _0123456789ABCDEF)(Swift.Int) throws -> ()",
      40,
      "_StringProcessing.Compiler.ByteCodeGen.(emitQuantification in _0123456789ABCDEF)(…) throws -> ()"
    ),
    (
      "generic specialization <Swift.Int, Swift.String> of Swift.Array.append(__owned A) -> ()", 40,
      "generic specialization <…> of Swift.Array.append(…) -> ()"
    ),
    (
      "void (*handler<int, std::vector<int, std::allocator<int> > >(int))(char)", 40,
      "void (*handler<…>(…))(…)"
    ),
  ])
  func shortens(name: String, limit: Int, expected: String) {
    #expect(FunctionNameShortener(limit: limit).shorten(name) == expected)
  }

  @Test func survivesAnyText() {
    var random = SystemRandomNumberGenerator()
    let alphabet = Array("<>()[]{}-,: operator<<->ab…".utf8)
    for _ in 0..<20_000 {
      let text = (0..<Int.random(in: 0...60, using: &random)).map { _ in
        alphabet.randomElement(using: &random)!
      }
      let name = String(decoding: text, as: UTF8.self)
      let short = FunctionNameShortener(limit: 10).shorten(name)
      #expect(short.utf8.count <= max(name.utf8.count * 2, 10))
    }
  }
}
