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

  @Test func allHierarchies() {
    let text = "5:memory:/docker/0123\n1:name=systemd:/x:y\n0::/\nnonsense\n"
    #expect(ControlGroupPath.parseAll(Array(text.utf8)) == ["/docker/0123", "/x:y", "/"])
  }

  @Test(arguments: [
    ("/system.slice/web.service", "/system.slice/web.service", true),
    ("/system.slice/web.service/worker", "/system.slice/web.service", true),
    ("/system.slice/web.service", "/system.slice/web.service/", true),
    ("/system.slice/web.service", "system.slice/web.service", true),
    ("/system.slice/web.service", "web.service", true),
    ("/system.slice/web.service", "/sys/fs/cgroup/system.slice/web.service", true),
    ("/docker/0123", "/sys/fs/cgroup/memory/docker/0123", true),
    ("/system.slice/web.service2", "/system.slice/web.service", false),
    ("/system.slice/web.service", "/web.service", false),
    ("/system.slice/web.service", "web", false),
    ("/a", "/sys/fs/cgroup", false),
    ("/", "web.service", false),
    ("/system.slice/docker-0123456789abcdef.scope", "0123456789ab", true),
    ("/system.slice/docker-0123456789abcdef.scope", "0123456789abcdef", true),
    ("/docker/0123456789abcdef/init", "0123456789ab", true),
    ("/system.slice/docker-0123456789abcdef.scope", "0123456789a", false),
    ("/system.slice/docker-0123456789abcdef.scope", "123456789abc", false),
  ]) func names(path: String, name: String, matches: Bool) {
    #expect(ControlGroupPath.matches(path: path, name: name) == matches)
  }

  @Test func ours() throws {
    let path = try ControlGroupPath.read(processID: getpid())
    #expect(path?.hasPrefix("/") ?? true)
  }
}
