import Glibc
import Testing

@testable import ProcessImage

@Suite struct ControlGroupPathTests {
  private func path(_ text: String) -> String? { ControlGroupPath.parse(Array(text.utf8)) }

  @Test func unified() {
    #expect(path("0::/system.slice/cron.service\n") == "/system.slice/cron.service")
    #expect(path("0::/\n") == "/")
  }

  @Test func memoryControllerOfVersion1() {
    #expect(path("12:cpu,cpuacct:/a\n5:memory:/docker/0123\n1:name=systemd:/init.scope\n0::/b\n") == "/docker/0123")
    #expect(path("5:hugetlb,memory:/x:y\n0::/b\n") == "/x:y")
  }

  @Test func neither() {
    #expect(path("3:cpuset:/a\n") == nil)
    #expect(path("") == nil)
    #expect(path("nonsense") == nil)
  }

  @Test func ours() throws {
    let path = try ControlGroupPath.read(processID: getpid())
    #expect(path?.hasPrefix("/") ?? true)
  }
}
