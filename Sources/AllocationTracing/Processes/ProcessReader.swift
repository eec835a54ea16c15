import Glibc
import ProcessImage
import SystemSupport
import TraceModel

/// Reads what a trace needs to know of processes, and says in one line what cannot be traced and why.
struct ProcessReader {
  var options: AllocatorDiscovery.Options

  struct Description {
    var command: String
    var executable: String?
  }

  /// Checks that a process can be traced at all.
  func check(_ processID: Int32) throws(Refusal) {
    let info: ProcessInfo
    do { info = try ProcessInfo(processID: processID) } catch {
      throw error.isProcessGone
        ? Refusal("no process has the id \(processID); `leaktrace observe` or `pgrep` lists them")
        : Refusal("process \(processID) cannot be read: \(error)")
    }
    let name = "process \(processID) (\(info.command))"
    if info.threadGroupID != processID {
      throw Refusal(
        "\(processID) is a thread of process \(info.threadGroupID); trace that one: -p \(info.threadGroupID)")
    }
    if info.isKernelThread {
      throw Refusal("\(name) is a kernel thread; for kernel memory use `leaktrace kernel`")
    }
    if info.hasEnded {
      throw Refusal("\(name) has ended and waits for its parent (zombie): it holds no memory")
    }
    if ProcessInfo.is32Bit(processID) == true {
      throw Refusal("\(name) is a 32-bit program; leaktrace traces 64-bit programs only")
    }
  }

  /// Whether the process has ended, even if its parent has not waited for it yet.
  func isGone(_ processID: Int32) -> Bool {
    do { return try ProcessInfo(processID: processID).hasEnded } catch { return error.isProcessGone }
  }

  func describe(_ processID: Int32) -> Description {
    let arguments = ProcessInfo.arguments(of: processID)
    let command =
      arguments.isEmpty
      ? (try? ProcessInfo(processID: processID))?.command ?? "" : arguments.joined(separator: " ")
    return Description(
      command: command, executable: ProcessInfo.executable(of: processID)?.path)
  }

  func mappings(of processID: Int32) throws(Refusal) -> [Mapping] {
    do { return try ProcessMaps.read(processID: processID) } catch {
      throw Refusal(
        error.isProcessGone
          ? "process \(processID) ended while it was being attached"
          : "the mappings of process \(processID) cannot be read: \(error)")
    }
  }

  /// Describes the file behind a mapping: what reports say of it, and how the kernel finds it.
  func describe(_ mapping: Mapping, _ file: ElfFile, of processID: Int32) -> ProbedObject {
    AllocatorDiscovery(processID: processID, mappings: []) { _ in nil }.describe(mapping, file)
  }

  /// Where probes go in the process, given all its mappings.
  func plan(_ processID: Int32, mappings: [Mapping], files: ElfFileCache) -> AllocatorPlan {
    discovery(processID, mappings: mappings, files: files).plan()
  }

  func discovery(_ processID: Int32, mappings: [Mapping], files: ElfFileCache) -> AllocatorDiscovery {
    AllocatorDiscovery(processID: processID, mappings: mappings, options: options) { mapping in
      files.file(behind: mapping, of: processID)
    }
  }
}

/// ELF files that were opened for planning, by file identity: most processes share most of them. They stay open, since they
/// are what is probed.
final class ElfFileCache {
  /// Each takes a descriptor. More are not opened, whatever processes map.
  private static let maximumCount = 8192
  private var files: [FileIdentity: ElfFile?] = [:]

  func file(behind mapping: Mapping, of processID: Int32) -> ElfFile? {
    let identity = mapping.file
    if let known = files[identity] { return known }
    guard files.count < Self.maximumCount else { return nil }
    var file: ElfFile?
    if let opened = try? RootedFile.open(mapping: mapping, processID: processID) {
      file = try? ElfFile(descriptor: opened.descriptor, name: mapping.path)
    }
    files[identity] = file
    return file
  }

  /// Forgets what was copied of large files, or of all when the copies take much memory, but not the files.
  func releasePages() {
    let isTight = ElfFile.copiesAreNearLimit
    for file in files.values {
      if let file, isTight || file.residentBytes > Self.keptBytes { file.releasePages() }
    }
  }

  /// What the search for allocators reads of a library stays in memory for the next process that maps it.
  private static let keptBytes = 1 << 20
}
