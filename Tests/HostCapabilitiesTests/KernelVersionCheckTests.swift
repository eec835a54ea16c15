import Testing

@testable import HostCapabilities

@Suite struct KernelVersionCheckTests {
  /// What the README says of kernels.
  @Test(arguments: [
    ("5.10.0-35-amd64", CapabilityCheck.Status.fails), ("5.11.22", .fails), ("5.12.0", .degraded),
    ("5.16.20", .degraded), ("5.17.1", .works), ("6.1.0-44-amd64", .works), ("?", .works),
  ])
  func releases(release: String, status: CapabilityCheck.Status) {
    let check = HostChecks.versionCheck(release: release)
    #expect(check.status == status)
    #expect(check.detail.contains(release))
    #expect((check.remedy != nil) == (status != .works))
  }
}
