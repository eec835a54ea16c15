import Quantities
import Testing
import TextOutput

@testable import ReportFormats

/// What is printed in the browser is what Swift prints.
@Suite(.enabled(if: Browser.isThere, "needs chromium")) struct QuantityScriptTests {
  @Test func pagesPrintAsTextDoes() throws {
    let sizes: [UInt64] = [
      0, 1, 812, 1023, 1024, 1075, 1076, 1536, 10_188, 1_048_524, 1_048_525, 1_048_575, 1_048_576, 5_242_880,
      1_073_741_823, 1_099_511_627_776, 9_007_199_254_740_991,
    ]
    let rates = [0, 0.0001, 0.03, 1, 99.9, 100, 101.5, 772, 1023.7, 60_723.2, 1e9, -0.5, -812, -60_723.2]
    let times = [0, 0.004, 0.999, 1.15, 9.994, 9.999, 10, 59.96, 60, 303, 3599.9, 3600, 7500, 86_399, 86_400, 1e6]
    let list = { (values: [String]) in "[" + values.joined(separator: ",") + "]" }
    var page = ByteWriter()
    HTMLPage.begin(title: "test", isScripted: true, to: &page)
    page.line("<header></header><script>\(QuantityScript.source)</script>")
    let result = try Browser.use(
      page.bytes,
      """
      return { sizes: \(list(sizes.map { "\($0)" })).map((size) => human(size)).join("|"), bytes: human(812, "bytes"),
        rates: \(list(rates.map { "\($0)" })).map((value) => rate(value)).join("|"), none: rate(null),
        times: \(list(times.map { "\($0)" })).map((value) => seconds(value)).join("|"), counts: counted(1, "block") + counted(1234, "block") };
      """)
    #expect(result["errors"] == "")
    #expect(result["failed"] == nil)
    #expect(result["sizes"] == sizes.map { ByteSize.text($0, unit: "B") }.joined(separator: "|"))
    #expect(result["bytes"] == ByteSize.text(812))
    #expect(
      result["rates"]
        == rates.map { value in
          let rate = ByteRate(bytesPerSecond: value)
          return rate.text(per: ByteRate.Unit(for: rate))
        }.joined(separator: "|"))
    #expect(result["none"] == ByteRate(bytesPerSecond: .infinity).text(per: .second))
    #expect(
      result["times"]
        == times.map { Duration.milliseconds(Int64(($0 * 1000).rounded())).text }.joined(separator: "|"))
    #expect(result["counts"] == "1 block1,234 blocks")
  }
}
