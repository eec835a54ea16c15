import Glibc
import HostObservation
import TestTools

/// A host's /proc and /sys in a directory of its own.
struct HostFixture {
  let directory: TemporaryDirectory
  var root: HostRoot { HostRoot(prefix: directory.path) }

  init() throws {
    directory = try TemporaryDirectory()
    try write("/proc/meminfo", "MemTotal: 1000000 kB\nMemFree: 300000 kB\nMemAvailable: 500000 kB\nSlab: 1000 kB\n")
    try write("/proc/self/mounts", "cgroup2 /sys/fs/cgroup cgroup2 rw 0 0\n")
    try write("/sys/fs/cgroup/cgroup.controllers", "cpu memory\n")
  }

  func write(_ path: String, _ text: String) throws {
    var parent = directory.path
    for part in path.split(separator: "/").dropLast() {
      parent += "/" + part
      mkdir(parent, 0o755)
    }
    try directory.write(String(path.dropFirst()), text)
  }

  func writeProcess(_ processID: Int32, command: String, anonymousKiB: Int, cgroup: String = "/") throws {
    try write(
      "/proc/\(processID)/stat", "\(processID) (\(command)) S 1 1 1 0 -1 0 1 0 0 0 1 1 0 0 20 0 1 0 77 0 0\n")
    try write("/proc/\(processID)/status", "Name:\t\(command)\nRssAnon:\t\(anonymousKiB) kB\nRssFile:\t4 kB\n")
    try write("/proc/\(processID)/cgroup", "0::\(cgroup)\n")
    try write(
      "/proc/\(processID)/limits",
      "Max data size             unlimited            unlimited            bytes     \n"
        + "Max address space         1073741824           unlimited            bytes     \n")
  }

  func writeCgroup(_ path: String, current: Int, anonymous: Int, file: Int, limit: String = "max") throws {
    let directory = "/sys/fs/cgroup" + path
    try write(directory + "/memory.current", "\(current)\n")
    try write(directory + "/memory.max", "\(limit)\n")
    try write(directory + "/memory.high", "max\n")
    try write(directory + "/memory.events", "low 0\nhigh 0\nmax 3\noom 1\noom_kill 1\n")
    try write(
      directory + "/memory.stat", "anon \(anonymous)\nfile \(file)\nkernel 8192\nshmem 0\nslab_reclaimable 4096\n")
  }
}
