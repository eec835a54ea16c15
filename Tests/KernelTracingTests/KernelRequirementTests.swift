import SystemSupport
import Testing

@testable import KernelTracing

@Suite struct KernelRequirementTests {
  /// By numbers: 5.9 is older than 5.12.
  @Test func tooOld() throws {
    for release in ["5.10.0", "5.9.1", "4.19.0", "5.11.22"] {
      let error = #expect(throws: Refusal.self) { try KernelVersion.require(KernelVersion(release: release)) }
      let text = try #require(error?.description)
      #expect(text.contains("5.12 or later"))
    }
    for release in ["5.12.0", "5.100.0", "6.1.0", "7.0.1", "unknown"] {
      #expect(throws: Never.self) { try KernelVersion.require(KernelVersion(release: release)) }
    }
  }
}
