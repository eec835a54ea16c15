import Testing

@testable import SystemSupport

@Suite struct KernelVersionTests {
  @Test(arguments: [
    ("5.10.0-35-amd64", "5.10"), ("6.12.117+deb12-cloud-amd64", "6.12"), ("6.1.0", "6.1"), ("5.12-rc1", "5.12"),
    ("6.18.44-fc-v669", "6.18"),
  ])
  func releases(text: String, version: String) {
    #expect(KernelVersion(release: text)?.description == version)
  }

  @Test(arguments: ["", "6", "six.one", ".", "6."]) func isNone(text: String) {
    #expect(KernelVersion(release: text) == nil)
  }

  /// By numbers: 5.9 is older than 5.12.
  @Test func order() throws {
    for release in ["5.10.0", "5.9.1", "4.19.0", "5.11.22"] {
      #expect(try #require(KernelVersion(release: release)) < .minimum)
    }
    for release in ["5.12.0", "5.100.0", "6.1.0", "7.0.1"] {
      #expect(try #require(KernelVersion(release: release)) >= .minimum)
    }
  }

  @Test func thisKernel() { #expect(KernelVersion.running.map { $0 >= KernelVersion.minimum } == true) }
}
