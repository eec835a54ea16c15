import Testing
import TraceModel

@Suite struct HolderTests {
  @Test(arguments: [
    ("sessions[abi:cxx11]", "sessions"), ("shop::[abi:v1]cache[abi:cxx11]", "shop::cache"), ("plain", "plain"),
    ("odd[abi:", "odd[abi:"), ("values[3]", "values[3]"),
  ]) func namesHaveNoMarksOfTheABI(name: String, plain: String) {
    #expect(Holder.withoutTags(name) == plain)
  }
}
