import Testing

@testable import Symbolization

@Suite struct DemanglerTests {
  @Test(arguments: [
    ("main", "main"),
    (
      "_ZNSt6vectorIiSaIiEE9push_backERKi",
      "std::vector<int, std::allocator<int> >::push_back(int const&)"
    ),
    ("_Znwm", "operator new(unsigned long)"),
    ("_ZdlPv", "operator delete(void*)"),
    ("_ZN12_GLOBAL__N_13fooEv", "(anonymous namespace)::foo()"),
    (
      "_ZL5totalRKSt6vectorIiSaIiEE.constprop.0.cold",
      "total(std::vector<int, std::allocator<int> > const&) [clone .constprop.0] [clone .cold]"
    ),
    ("_GLOBAL__sub_I_main", "_GLOBAL__sub_I_main"),
    (
      "_ZNSt6vectorIiSaIiEE9push_backERKi@@GLIBCXX_3.4",
      "std::vector<int, std::allocator<int> >::push_back(int const&)"
    ),
    ("memcpy@@GLIBC_2.14", "memcpy"),
    // Rust, legacy: the hash at the end goes.
    ("_ZN4core3fmt9Formatter3pad17h0123456789abcdefE", "core::fmt::Formatter::pad"),
    ("_ZN1r4main28_$u7b$$u7b$closure$u7d$$u7d$17h2694556f6e8d9c2dE", "r::main::{{closure}}"),
    // Rust, v0.
    ("_RNvCs4fqI2P2rA04_7mycrate3foo", "mycrate::foo"),
    ("_RINvCs6GmmlP4bgsG_1r5applyNCNvB2_4main0EB2_", "r::apply::<r::main::{closure#0}>"),
    ("_RNvMs_CsaBcDeFgHiJk_4demoNtB4_4Item5price", "<demo::Item>::price"),
    (
      "_RINvNtCs9ltgdHTiPiY_4core3ptr13drop_in_placeNtNtCsd6xzmM1MVTM_5alloc6string6StringEB4_",
      "core::ptr::drop_in_place::<alloc::string::String>"
    ),
    // Swift.
    ("$s4main3fooyS2iF", "main.foo(Swift.Int) -> Swift.Int"),
    ("_$s4main3fooyS2iF", "main.foo(Swift.Int) -> Swift.Int"),
    ("$sSa6appendyyxnF", "Swift.Array.append(__owned A) -> ()"),
    ("_TFC4main3Foo3baryfT_T_", "_TFC4main3Foo3baryfT_T_"),
    // Not mangled, or not well.
    ("", ""), ("_", "_"), ("_Z", "_Z"), ("_R", "_R"), ("$s", "$s"), ("_Z3", "_Z3"), ("_ZN", "_ZN"),
    ("_Znotmangled", "_Znotmangled"), ("$slow", "$slow"), ("@plt", "@plt"),
  ])
  func demangles(mangled: String, plain: String) {
    #expect(Demangler.demangle(mangled) == plain)
  }

  @Test func demanglesNamesLongerThanAThousandBytes() {
    // libstdc++'s demangler refuses these.
    let types = (0..<300).map { _ in "3abc" }.joined()
    let name = Demangler.demangle("_Z1fIJ\(types)EEvDpT_")
    #expect(name.hasPrefix("void f<abc, abc, abc"))
  }

  /// Names that cost a demangler its stack, its memory or hours.
  @Test(arguments: [
    "_Z1f" + String(repeating: "P", count: 8000) + "i",
    "_Z1f" + String(repeating: "P", count: 100_000) + "i",
    "_ZN" + String(repeating: "1a", count: 4000) + "E",
    "_Z1fI" + String(repeating: "1aI", count: 2500) + "i" + String(repeating: "E", count: 2501)
      + "v",
    "_Z1f" + String(repeating: "F", count: 8000),
    "_Z" + String(repeating: "L", count: 8000),
    "_Z1fDv" + String(repeating: "_", count: 8000),
    "_Z1fI" + String(repeating: "X", count: 8000),
    "_Z1f" + String(repeating: "cv", count: 4000),
    "_Z1fIXad" + String(repeating: "ad", count: 3900) + "E",
    // Each substitution doubles the one before.
    "_Z1fSt4pairIiiES_IS0_S0_ES_IS1_S1_ES_IS2_S2_ES_IS3_S3_ES_IS4_S4_ES_IS5_S5_ES_IS6_S6_ES_IS7_S7_ES_IS8_S8_ES_IS9_S9_ES_ISA_SA_ES_ISB_SB_ES_ISC_SC_ES_ISD_SD_ES_ISE_SE_ES_ISF_SF_ES_ISG_SG_ES_ISH_SH_ES_ISI_SI_ES_ISJ_SJ_ES_ISK_SK_ES_ISL_SL_ES_ISM_SM_ES_ISN_SN_ES_ISO_SO_ES_ISP_SP_ES_ISQ_SQ_E",
    "_RIC" + String(repeating: "I", count: 4000) + "C1aE",
    "_RNvC1a" + String(repeating: "Nv", count: 4000),
    "_RMC0" + String(repeating: "T", count: 5000) + "E",
    "_RMC0TTTTTTTTB4_B4_EB3_B3_EB2_B2_EB1_B1_EB0_B0_EBZ_BZ_EBY_BY_EBX_BX_E",
    "$s" + String(repeating: "Say", count: 2500) + "Si" + String(repeating: "G", count: 2500) + "D",
    "$s4main" + String(repeating: "1AV", count: 2000),
  ])
  func survivesHostileNames(name: String) {
    let clock = ContinuousClock()
    let duration = clock.measure {
      // Either form is right; coming back soon is what counts.
      #expect(!Demangler.demangle(name).isEmpty)
    }
    #expect(duration < .seconds(2))
  }

  @Test func survivesMutatedNames() {
    var random = SystemRandomNumberGenerator()
    let seeds = [
      "_ZNSt6vectorIiSaIiEE9push_backERKi", "_RNvMs_CsaBcDeFgHiJk_4demoNtB4_4Item5price",
      "$s4main3fooyS2iF", "_ZN4core3fmt9Formatter3pad17h0123456789abcdefE",
      "_Z1fIJ3abc3abcEEvDpT_", "$sSa6appendyyxnF",
    ].map { Array($0.utf8) }
    let alphabet = Array("_ZNRISTEKPOFLXCdvDacbsiB0123456789$.".utf8)
    for _ in 0..<20_000 {
      var name = seeds.randomElement(using: &random)!
      for _ in 0..<Int.random(in: 1...5, using: &random) {
        let position = Int.random(in: 2..<name.count, using: &random)
        switch Int.random(in: 0..<3, using: &random) {
        case 0: name[position] = alphabet.randomElement(using: &random)!
        case 1: name.insert(alphabet.randomElement(using: &random)!, at: position)
        default: if name.count > 4 { name.remove(at: position) }
        }
      }
      #expect(!Demangler.demangle(String(decoding: name, as: UTF8.self)).isEmpty)
    }
  }
}
