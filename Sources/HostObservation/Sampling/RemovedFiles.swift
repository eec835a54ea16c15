import Glibc
import KernelStatistics

/// A file in memory that no directory names any more, and who still holds it: its memory comes back when the last of them lets
/// go of it.
package struct RemovedFile: Hashable, Sendable {
  /// What the kernel shows for it, without its ` (deleted)`: a path that it had, or `/memfd:name`.
  package var name: String
  /// Bytes in memory and on swap.
  package var bytes: UInt64
  package var holders: [Holder]

  package struct Holder: Hashable, Sendable {
    package var processID: Int32
    package var command: String
    /// The number of its descriptor; nil for one that has only mapped the file.
    package var descriptor: Int32?

    package init(processID: Int32, command: String, descriptor: Int32?) {
      self.processID = processID
      self.command = command
      self.descriptor = descriptor
    }
  }

  package var isMemoryFile: Bool { name.hasPrefix("/memfd:") }

  package init(name: String, bytes: UInt64, holders: [Holder]) {
    self.name = name
    self.bytes = bytes
    self.holders = holders
  }
}

/// All removed files of the file systems in memory (tmpfs and memfd) that processes of this host hold, the largest first.
package struct RemovedFiles: Hashable, Sendable {
  package private(set) var files: [RemovedFile] = []
  /// The file systems, by the device numbers of their files, as `files`.
  private var devices: [UInt64] = []
  /// Whether every process could be looked at, and there were not too many descriptors.
  package private(set) var isWhole = true

  /// What is looked at: descriptors and mappings of all processes together.
  private static let most = 1_000_000
  private static let ending = " (deleted)"

  package init(files: [RemovedFile] = [], isWhole: Bool = true) {
    self.files = files
    self.isWhole = isWhole
    devices = files.map { _ in 0 }
  }

  /// Looks at every descriptor and every mapping of a removed file. No file is opened, and none is asked for its attributes
  /// over a network.
  package init(root: HostRoot = .running) {
    var search = Search()
    for name in directoryEntries(root.path("/proc")) {
      guard let processID = Int32(name), processID > 0 else { continue }
      search.look(at: processID, directory: root.path("/proc/\(name)"))
    }
    isWhole = search.isWhole
    let found = search.found.values.sorted { ($0.file.bytes, $1.file.name) > ($1.file.bytes, $0.file.name) }
    files = found.map(\.file)
    devices = found.map(\.device)
  }

  /// Those of the file system that is mounted at a place.
  package func of(mountPoint: String, root: HostRoot = .running) -> RemovedFiles {
    var status = stat()
    var some = self
    some.files = []
    some.devices = []
    guard stat(root.path(mountPoint), &status) == 0 else {
      some.isWhole = false
      return some
    }
    for (file, device) in zip(files, devices) where device == UInt64(status.st_dev) {
      some.files.append(file)
      some.devices.append(device)
    }
    return some
  }

  /// Those that a series counts.
  ///
  /// - Parameter cgroup: the control group of a process.
  package func behind(_ series: RankedSeries, cgroup: (Int32) -> String?) -> RemovedFiles {
    switch series.key {
    case .tmpfs(let mountPoint): return of(mountPoint: mountPoint)
    case .cgroup(let path):
      var groups: [Int32: String?] = [:]
      return held { processID in
        let group = groups[processID] ?? cgroup(processID)
        groups[processID] = group
        return group.map { $0 == path || $0.hasPrefix(path + "/") } ?? false
      }
    default: return self
    }
  }

  /// Those that some processes hold.
  package func held(by isHolder: (Int32) -> Bool) -> RemovedFiles {
    var some = self
    some.files = []
    some.devices = []
    for (var file, device) in zip(files, devices) {
      file.holders.removeAll { !isHolder($0.processID) }
      if file.holders.isEmpty { continue }
      some.files.append(file)
      some.devices.append(device)
    }
    return some
  }

  package var bytes: UInt64 { files.reduce(0) { $0 &+ $1.bytes } }

  /// What each process holds, the most first. A file counts for each of its holders.
  package var holders: [(processID: Int32, command: String, files: Int, bytes: UInt64)] {
    var sums: [Int32: (command: String, files: Int, bytes: UInt64)] = [:]
    for file in files {
      for (processID, holders) in Dictionary(grouping: file.holders, by: \.processID) {
        var sum = sums[processID] ?? (holders[0].command, 0, 0)
        sum.files += 1
        sum.bytes = sum.bytes &+ file.bytes
        sums[processID] = sum
      }
    }
    return sums.map { (processID: $0.key, command: $0.value.command, files: $0.value.files, bytes: $0.value.bytes) }
      .sorted { ($0.bytes, $1.processID) > ($1.bytes, $0.processID) }
  }

  // MARK: The search

  private struct FileNumber: Hashable {
    var device: UInt64
    var inode: UInt64
  }

  private struct Search {
    var found: [FileNumber: (file: RemovedFile, device: UInt64)] = [:]
    var isWhole = true
    private var left = RemovedFiles.most
    private let reader = FileReader()

    mutating func look(at processID: Int32, directory: String) {
      var process = Process(
        processID: processID, directory: directory,
        command: reader.text(directory + "/comm").map { String($0.prefix { $0 != "\n" }) } ?? "")
      lookAtDescriptors(&process)
      // A process's descriptors are looked at before its mappings, which say nothing more.
      lookAtMappings(&process)
    }

    private mutating func lookAtDescriptors(_ process: inout Process) {
      let path = process.directory + "/fd"
      guard access(path, R_OK | X_OK) == 0 else { return noteUnreadable() }
      for entry in directoryEntries(path) {
        guard let descriptor = Int32(entry), spend() else { continue }
        let link = path + "/" + entry
        guard let target = linkTarget(link), target.hasSuffix(RemovedFiles.ending) else { continue }
        let information = reader.text(process.directory + "/fdinfo/" + entry) ?? ""
        let line = information.split(separator: "\n").first { $0.hasPrefix("mnt_id:") }
        guard let mount = line.flatMap({ UInt64($0.dropFirst(7).trimmingBlanks) }) else { continue }
        let isInMemory = process.mounts(reader).memory[mount]
        guard isInMemory ?? target.hasPrefix("/memfd:") else { continue }
        note(link, String(target.dropLast(RemovedFiles.ending.count)), descriptor, &process)
      }
    }

    private mutating func lookAtMappings(_ process: inout Process) {
      guard let text = reader.text(process.directory + "/maps") else { return noteUnreadable() }
      for line in text.split(separator: "\n") where line.hasSuffix(RemovedFiles.ending) {
        // START-END PERMISSIONS OFFSET MAJOR:MINOR INODE PATH
        let fields = line.split(separator: " ", maxSplits: 5, omittingEmptySubsequences: true)
        guard fields.count == 6, spend() else { continue }
        let numbers = fields[3].split(separator: ":").compactMap { UInt64($0, radix: 16) }
        guard numbers.count == 2 else { continue }
        let path = String(fields[5].trimmingBlanks.dropLast(RemovedFiles.ending.count))
        let isInMemory = process.mounts(reader).devices[deviceNumber(numbers[0], numbers[1])]
        guard isInMemory ?? path.hasPrefix("/memfd:") else { continue }
        note("\(process.directory)/map_files/\(fields[0])", path, nil, &process)
      }
    }

    /// Asks a file that is known to be in memory for its size. Files of other file systems are not asked: they could belong to
    /// a server that does not answer.
    private mutating func note(_ link: String, _ name: String, _ descriptor: Int32?, _ process: inout Process) {
      var status = stat()
      guard stat(link, &status) == 0, status.st_nlink == 0, status.st_mode & S_IFMT == S_IFREG else { return }
      let number = FileNumber(device: UInt64(status.st_dev), inode: UInt64(status.st_ino))
      if !process.seen.insert(number).inserted, descriptor == nil { return }
      let (bytes, overflow) = UInt64(max(0, status.st_blocks)).multipliedReportingOverflow(by: 512)
      let file = RemovedFile(name: name, bytes: overflow ? .max : bytes, holders: [])
      found[number, default: (file, number.device)].file.holders.append(
        RemovedFile.Holder(processID: process.processID, command: process.command, descriptor: descriptor))
    }

    private mutating func spend() -> Bool {
      left -= 1
      if left < 0 { isWhole = false }
      return left >= 0
    }

    /// A process that has ended in the meantime holds nothing.
    private mutating func noteUnreadable() { if errno != ENOENT, errno != ESRCH { isWhole = false } }
  }

  /// A process that is looked at.
  private struct Process {
    let processID: Int32
    let directory: String
    let command: String
    var seen: Set<FileNumber> = []
    private var known: (memory: [UInt64: Bool], devices: [UInt64: Bool])?

    init(processID: Int32, directory: String, command: String) {
      self.processID = processID
      self.directory = directory
      self.command = command
    }

    /// Of each mount that the process sees, by its number and by its device, whether it is a tmpfs. The files of memfd belong
    /// to none of them.
    mutating func mounts(_ reader: FileReader) -> (memory: [UInt64: Bool], devices: [UInt64: Bool]) {
      if let known { return known }
      var result: (memory: [UInt64: Bool], devices: [UInt64: Bool]) = ([:], [:])
      for line in (reader.text(directory + "/mountinfo") ?? "").split(separator: "\n") {
        // ID PARENT MAJOR:MINOR ROOT MOUNTPOINT OPTIONS… - TYPE SOURCE OPTIONS
        let fields = line.split(separator: " ")
        guard fields.count > 5, let number = UInt64(fields[0]), let dash = fields.lastIndex(of: "-"),
          dash + 1 < fields.count
        else { continue }
        let isInMemory = fields[dash + 1] == "tmpfs"
        result.memory[number] = isInMemory
        let numbers = fields[2].split(separator: ":").compactMap { UInt64($0) }
        if numbers.count == 2 { result.devices[deviceNumber(numbers[0], numbers[1])] = isInMemory }
      }
      known = result
      return result
    }
  }
}

/// What a symbolic link says, up to 4096 bytes.
private func linkTarget(_ path: String) -> String? {
  withUnsafeTemporaryAllocation(of: UInt8.self, capacity: 4096) { buffer in
    let count = readlink(path, buffer.baseAddress!, buffer.count)
    return count > 0 ? String(decoding: UnsafeBufferPointer(rebasing: buffer[..<count]), as: UTF8.self) : nil
  }
}

/// A device number as `st_dev` has it, from its two parts.
private func deviceNumber(_ major: UInt64, _ minor: UInt64) -> UInt64 {
  (major & 0xffff_f000) << 32 | (major & 0xfff) << 8 | (minor & 0xffff_ff00) << 12 | minor & 0xff
}

extension Substring {
  fileprivate var trimmingBlanks: Substring { drop { $0 == " " || $0 == "\t" } }
}

extension RankedSeries {
  /// Whether the series counts files in memory.
  package var mayBeRemovedFiles: Bool {
    switch key {
    case .tmpfs: true
    case .cgroup: kinds.first?.kind == .sharedMemory
    case .kernel(let name): name == KernelMemory.Kind.shared.rawValue
    default: false
    }
  }
}
