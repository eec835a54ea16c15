import CElfUtils
import Glibc
import ProcessImage
import SystemSupport
import TraceModel

/// Opens each object file once, however many processes map it.
final class ModuleCache {
  private final class Entry {
    weak var module: Module?
    init(_ module: Module) { self.module = module }
  }

  private let options: SymbolizerOptions
  private var entries: [FileVersion: Entry] = [:]
  /// The version of each file that was met last.
  private var latest: [FileIdentity: FileVersion] = [:]
  /// Keeps a few modules alive between processes that come and go.
  private var recent: [Module] = []
  private var nextRecent = 0
  private static let maximumRecentCount = 64

  private let losses: NamingLosses
  private let worker: SymbolWorker?

  /// - Parameter worker: what reads the files; nil: this process.
  init(options: SymbolizerOptions, losses: NamingLosses = NamingLosses(), worker: SymbolWorker? = nil) {
    self.options = options
    self.losses = losses
    self.worker = worker
  }

  enum Lookup {
    case module(Module)
    /// Mapped, but not an ELF file: code that the process made itself, or a file of data.
    case notELF
    /// Could not be opened, or is an ELF file of another machine.
    case unreadable
  }

  /// The module behind a file mapping of a live process.
  func module(for mapping: Mapping, processID: Int32) -> Lookup {
    // The kernel's link tells which file it is without opening it.
    var status = stat()
    if stat(RootedFile.mapFilesPath(of: mapping, processID: processID), &status) == 0,
      FileIdentity(status) == mapping.file, let known = entries[FileVersion(status, by: .modification)]?.module
    {
      return .module(known)
    }
    guard let file = try? RootedFile.open(mapping: mapping, processID: processID),
      fstat(file.descriptor, &status) == 0
    else {
      // Memory that has a file only inside the kernel.
      let isMemory = ["/memfd:", "/dev/zero", "/SYSV"].contains { mapping.path.hasPrefix($0) }
      return isMemory ? .notELF : .unreadable
    }
    let version = FileVersion(status, by: .modification)
    if let known = entries[version]?.module { return .module(known) }
    guard file.descriptor < Self.highestDescriptor else {
      losses.note(.noNames, of: mapping.path, why: "too many files are open")
      return .unreadable
    }
    if let other = latest[version.file] { entries[other]?.module?.noteOverwriting() }
    do {
      let elf = try ElfFile(descriptor: file.descriptor, name: mapping.path)
      let isForeign = ProcessImage.ProcessInfo.sharesMountNamespace(processID) == false
      let debugFiles = SeparateDebugFile(
        directories: options.debugDirectories, processID: isForeign ? processID : nil, owner: status.st_uid)
      let module = Module(
        elf: elf, path: mapping.path, version: version, isForeign: isForeign,
        reader: reader(of: elf, mapping.path, debugFiles))
      entries[version] = Entry(module)
      latest[version.file] = version
      keep(module)
      return .module(module)
    } catch {
      switch error {
      case .notELF, .truncated: return .notELF
      default: return .unreadable
      }
    }
  }

  private func reader(
    of elf: ElfFile, _ path: String, _ debugFiles: SeparateDebugFile
  ) -> any ModuleReading {
    if let worker {
      return RemoteModuleReader(
        elf, path: path, debugFiles: debugFiles, options: options, losses: losses,
        worker: worker)
    }
    return ModuleReader(
      .init(
        object: elf, separate: { debugFiles.find(for: elf, path: path) },
        supplement: { debugFiles.supplement(of: $0) }),
      options: options, losses: losses)
  }

  /// Forgets entries whose module nobody uses.
  func prune() {
    entries = entries.filter { $0.value.module != nil }
    latest = latest.filter { entries[$0.value] != nil }
  }

  /// Each module keeps its file open. A process may map any number of files, and must not take the descriptors that probes, tables
  /// and other processes need.
  private static let highestDescriptor: Int32 = {
    var limit = rlimit()
    getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit)
    return Int32(clamping: limit.rlim_cur / 4 * 3)
  }()

  /// Drops what modules can read again.
  func trim() {
    recent = []
    nextRecent = 0
    prune()
    for entry in entries.values { entry.module?.trim() }
  }

  private func keep(_ module: Module) {
    if recent.count < Self.maximumRecentCount {
      recent.append(module)
    } else {
      recent[nextRecent] = module
      nextRecent = (nextRecent + 1) % recent.count
    }
  }
}
