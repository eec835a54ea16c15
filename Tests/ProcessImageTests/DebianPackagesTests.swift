import Glibc
import TestTools
import Testing

@testable import ProcessImage

/// Packages of files, by lists as dpkg keeps them.
@Suite struct DebianPackagesTests {
  private func packages(_ lists: [String: String]) throws -> (DebianPackages, TemporaryDirectory) {
    let directory = try TemporaryDirectory()
    for (name, text) in lists { _ = try directory.write(name, text) }
    return (DebianPackages(directory: directory.path), directory)
  }

  @Test func owners() throws {
    let (packages, directory) = try packages([
      "libexample1:amd64.list": "/.\n/usr\n/usr/lib\n/usr/lib/libexample.so.1.2\n/usr/share/doc/libexample1\n",
      "example.list": "/.\n/usr\n/usr/bin\n/usr/bin/example\n/usr/bin/example-more\n",
      // From before /lib became a link.
      "libc6:amd64.list": "/.\n/lib\n/lib/x86_64-linux-gnu\n/lib/x86_64-linux-gnu/libc.so.6\n",
      // These are no lists of packages.
      "format": "/usr/bin/other\n", "-evil.list": "/.\n/usr/bin/other\n", "a b;c.list": "/.\n/usr/bin/other\n",
    ])
    let owners = packages.owners(of: [
      "/usr/lib/libexample.so.1.2", "/usr/bin/example", "/usr/lib/x86_64-linux-gnu/libc.so.6", "/usr/bin/other",
      "/usr/bin/exam",
      "example", "", "/usr/bin/example\n/usr/bin/example-more",
    ])
    #expect(
      owners == [
        "/usr/lib/libexample.so.1.2": "libexample1", "/usr/bin/example": "example",
        "/usr/lib/x86_64-linux-gnu/libc.so.6": "libc6",
      ])
    #expect(packages.owners(of: []) == [:])
    #expect(DebianPackages(directory: directory.path + "/none").owners(of: ["/usr/bin/example"]) == [:])
  }

  /// A list that is no regular file, or that links elsewhere in a circle, keeps nobody waiting.
  @Test func oddLists() throws {
    let (packages, directory) = try packages(["example.list": "/.\n/usr/bin/example\n"])
    #expect(symlink("loop.list", directory.path + "/loop.list") == 0)
    #expect(mkdir(directory.path + "/folder.list", 0o755) == 0)
    #expect(packages.owners(of: ["/usr/bin/example"]) == ["/usr/bin/example": "example"])
  }

  @Test func debugPackages() {
    #expect(DebianPackages.debugPackage(of: "nginx") == "nginx-dbgsym")
    #expect(DebianPackages.debugPackage(of: "libc6") == "libc6-dbg")
    #expect(DebianPackages.debugPackage(of: "openjdk-17-jre-headless") == "openjdk-17-dbg")
  }
}
