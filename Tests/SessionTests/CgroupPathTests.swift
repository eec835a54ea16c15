import AllocationTracing
import Glibc
import Session
import SystemSupport
import TestTools
import Testing

struct CgroupPathTests {
  private let container = "3b2f0c9d8e7a6b5c4d3e2f1a0b9c8d7e6f5a4b3c2d1e0f9a8b7c6d5e4f3a2b1c"
  private let directory: TemporaryDirectory

  init() throws {
    directory = try TemporaryDirectory()
    for path in [
      "", "/system.slice", "/system.slice/web.service", "/system.slice/web.service/inner",
      "/system.slice/docker-\(container).scope", "/user.slice", "/user.slice/app.service", "/user.slice/other",
      "/user.slice/other/app.service",
    ] {
      try #require(path.isEmpty || mkdir(directory.path + path, 0o755) == 0)
      try directory.write(String("\(path)/cgroup.procs".drop { $0 == "/" }), "")
    }
    try #require(mkdir(directory.path + "/no-group", 0o755) == 0)
  }

  private func find(_ name: String) throws -> String {
    let path = try CgroupPath.directory(named: name, roots: [directory.path])
    return String(path.dropFirst(directory.path.count))
  }

  @Test func aPathBelowTheRootIsTaken() throws {
    #expect(try find("/system.slice/web.service") == "/system.slice/web.service")
    #expect(try find("system.slice") == "/system.slice")
    #expect(try find("/") == "")
  }

  @Test func theDirectoryItselfIsTaken() throws {
    #expect(try find(directory.path + "/user.slice") == "/user.slice")
  }

  @Test func aUnitIsFoundByItsName() throws {
    #expect(try find("web.service") == "/system.slice/web.service")
  }

  @Test func aContainerIsFoundByTheBeginningOfItsId() throws {
    #expect(try find(String(container.prefix(12))) == "/system.slice/docker-\(container).scope")
    #expect(try find(container) == "/system.slice/docker-\(container).scope")
  }

  @Test func aNameThatSeveralHaveIsRefused() {
    let error = #expect(throws: Refusal.self) { try find("app.service") }
    #expect(error?.description.contains("2 control groups have that name") == true)
    #expect(error?.description.contains("/user.slice/other/app.service") == true)
  }

  @Test(arguments: [
    "none.service", "3b2f0c9d8e7", "/system.slice/none", "../x", "no-group", "/system.slice/../user.slice",
  ])
  func whatIsThereNotIsRefused(name: String) {
    let error = #expect(throws: Refusal.self) { try find(name) }
    #expect(error?.description.hasPrefix("--cgroup \(name): there is no") == true)
  }

  @Test func withoutAHierarchyNothingIsFound() {
    #expect(throws: Refusal.self) { try CgroupPath.directory(named: "/a", roots: []) }
  }

  @Test func mountPointsAreThoseOfVersionTwo() {
    let mounts = """
      24 30 0:22 / /proc rw,nosuid - proc proc rw
      35 24 0:30 / /sys/fs/cgroup rw,nosuid shared:9 - cgroup2 cgroup2 rw,nsdelegate
      36 24 0:31 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory
      37 24 0:32 / /mnt/unified rw - cgroup2 none rw
      broken line
      """
    #expect(CgroupPath.mountPoints(mountinfo: mounts) == ["/sys/fs/cgroup", "/mnt/unified"])
  }
}
