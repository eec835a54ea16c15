import Glibc
import KernelStatistics
import ProcessImage
import SystemSupport

/// A file in memory that no directory names any more, and who still holds it: its memory comes back when the last of them lets
/// go of it.
package struct RemovedFile: Hashable, Sendable {
  /// What the kernel shows for it, without its ` (deleted)`: a path that it had, or `/memfd:name`.
  package var name: String
  /// Bytes in memory and on swap.
  package var bytes: UInt64
  package var holders: [Holder]
  /// The file system, encoded as in `FileIdentity`.
  var device: UInt64 = 0

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

  package init(name: String, bytes: UInt64, holders: [Holder]) {
    self.name = name
    self.bytes = bytes
    self.holders = holders
  }
}

/// All removed files of the file systems in memory (tmpfs and memfd) that processes of this host hold, the largest first.
package struct RemovedFiles: Hashable, Sendable {
  package private(set) var files: [RemovedFile] = []

  /// What is looked at: descriptors and mappings of all processes together.
  private static let most = 1_000_000
  private static let ending = " (deleted)"

  package init(files: [RemovedFile]) { self.files = files }

  /// Looks at every descriptor and every mapping of a removed file. No file is opened, and none is asked for its attributes
  /// over a network.
  package init(root: HostRoot = .running) {
    var search = Search()
    for name in directoryEntries(root.path("/proc")) {
      guard let processID = Int32(name), processID > 0 else { continue }
      search.look(at: processID, directory: root.path("/proc/\(name)"))
    }
    files = search.found.values.sorted { ($0.bytes, $1.name) > ($1.bytes, $0.name) }
  }

  /// Those of the file system that is mounted at a place.
  package func of(mountPoint: String, root: HostRoot = .running) -> RemovedFiles {
    var status = stat()
    guard stat(root.path(mountPoint), &status) == 0 else { return RemovedFiles(files: []) }
    let device = FileIdentity(status).device
    return RemovedFiles(files: files.filter { $0.device == device })
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
    var files = files
    for place in files.indices { files[place].holders.removeAll { !isHolder($0.processID) } }
    return RemovedFiles(files: files.filter { !$0.holders.isEmpty })
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

  private struct Search {
    var found: [FileIdentity: RemovedFile] = [:]
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
      for entry in directoryEntries(path) {
        guard let descriptor = Int32(entry), spend() else { continue }
        let link = path + "/" + entry
        guard let target = readLink(link), target.hasSuffix(RemovedFiles.ending) else { continue }
        let information = reader.text(process.directory + "/fdinfo/" + entry) ?? ""
        let line = information.split(separator: "\n").first { $0.hasPrefix("mnt_id:") }
        guard let mount = line.flatMap({ UInt64($0.dropFirst(7).trimmingBlanks) }) else { continue }
        let isInMemory = process.mounts(reader).memory[mount]
        guard isInMemory ?? target.hasPrefix("/memfd:") else { continue }
        note(link, String(target.dropLast(RemovedFiles.ending.count)), descriptor, &process)
      }
    }

    private mutating func lookAtMappings(_ process: inout Process) {
      guard let text = reader.text(process.directory + "/maps") else { return }
      for line in text.split(separator: "\n") where line.hasSuffix(RemovedFiles.ending) {
        // START-END PERMISSIONS OFFSET MAJOR:MINOR INODE PATH
        let fields = line.split(separator: " ", maxSplits: 5, omittingEmptySubsequences: true)
        guard fields.count == 6, spend() else { continue }
        let numbers = fields[3].split(separator: ":").compactMap { UInt64($0, radix: 16) }
        guard numbers.count == 2 else { continue }
        let path = String(fields[5].trimmingBlanks.dropLast(RemovedFiles.ending.count))
        let isInMemory = process.mounts(reader).devices[numbers[0] << 32 | numbers[1]]
        guard isInMemory ?? path.hasPrefix("/memfd:") else { continue }
        note("\(process.directory)/map_files/\(fields[0])", path, nil, &process)
      }
    }

    /// Asks a file that is known to be in memory for its size. Files of other file systems are not asked: they could belong to
    /// a server that does not answer.
    private mutating func note(_ link: String, _ name: String, _ descriptor: Int32?, _ process: inout Process) {
      var status = stat()
      guard stat(link, &status) == 0, status.st_nlink == 0, status.st_mode & S_IFMT == S_IFREG else { return }
      let number = FileIdentity(status)
      if !process.seen.insert(number).inserted, descriptor == nil { return }
      let (bytes, overflow) = UInt64(max(0, status.st_blocks)).multipliedReportingOverflow(by: 512)
      var file = RemovedFile(name: name, bytes: overflow ? .max : bytes, holders: [])
      file.device = number.device
      found[number, default: file].holders.append(
        RemovedFile.Holder(processID: process.processID, command: process.command, descriptor: descriptor))
    }

    private mutating func spend() -> Bool {
      left -= 1
      return left >= 0
    }
  }

  /// A process that is looked at.
  private struct Process {
    let processID: Int32
    let directory: String
    let command: String
    var seen: Set<FileIdentity> = []
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
      for mount in MountInfo.parse(reader.text(directory + "/mountinfo") ?? "") {
        let isInMemory = mount.type == "tmpfs"
        result.memory[mount.number] = isInMemory
        result.devices[mount.device] = isInMemory
      }
      known = result
      return result
    }
  }
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
