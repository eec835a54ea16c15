import Testing

@testable import Quantities

@Suite struct ByteSizeTests {
  @Test func sizesForPeople() {
    let cases: [(UInt64, String?)] = [
      (0, nil), (1023, nil), (1024, "1.0 KiB"), (1536, "1.5 KiB"), (1_048_575, "1.0 MiB"),
      (1_048_576, "1.0 MiB"), (5_242_880, "5.0 MiB"), (3_000_000_000, "2.8 GiB"),
      (.max, "16.0 EiB"), (1 << 60, "1.0 EiB"),
    ]
    for (bytes, text) in cases { #expect(ByteSize.rounded(bytes) == text) }
  }

  @Test func smallSizesAreExact() {
    #expect(ByteSize.text(812) == "812 bytes")
    #expect(ByteSize.text(812, unit: "B") == "812 B")
    #expect(ByteSize.text(1536) == "1.5 KiB")
    #expect(ByteSize.exact(4096) == "4,096 bytes (4.0 KiB)")
    #expect(ByteSize.exact(4096, isGrouped: false) == "4096 bytes (4.0 KiB)")
    #expect(ByteSize.exact(1) == "1 byte")
    #expect(ByteSize.exact(12, standardError: 3.4) == "12 bytes ± 3")
    #expect(ByteSize.exact(12, standardError: .infinity) == "12 bytes ± ?")
  }

  @Test func sizesInOneUnit() {
    let cases: [(UInt64, String)] = [
      (0, "0.0 MiB"), (1 << 19, "0.5 MiB"), (1 << 20, "1.0 MiB"), (100 << 20, "100.0 MiB"), ((1 << 20) - 1, "1.0 MiB"),
      (.max, "17592186044416.0 MiB"),
    ]
    for (bytes, text) in cases { #expect(ByteSize.mebibytes(bytes) == text) }
  }

  @Test func sizesInColumns() {
    let cases: [(UInt64, String)] = [
      (0, "0"), (9999, "9999"), (10_000, "9.8K"), (1 << 20, "1.0M"), (1_000 << 10, "1.0M"), (.max, "16.0E"),
    ]
    for (bytes, text) in cases { #expect(ByteSize.short(bytes) == text) }
    for shift in 0..<64 { #expect(ByteSize.short(1 << UInt64(shift)).count <= 6) }
  }

  @Test func parsesUnitsInEitherCase() {
    let cases: [(String, UInt64?)] = [
      ("0", 0), ("4096", 4096), ("512K", 512 << 10), ("512k", 512 << 10), ("64M", 64 << 20), ("64m", 64 << 20),
      ("2G", 2 << 30), ("2g", 2 << 30), ("", nil), ("K", nil), ("-1", nil), ("1.5M", nil), ("1T", nil), ("1 K", nil),
      ("1KB", nil), ("18446744073709551615", .max), ("18446744073709551616", nil), ("17179869184G", nil),
    ]
    for (text, bytes) in cases { #expect(ByteSize.parse(text) == bytes, "\(text)") }
  }
}
