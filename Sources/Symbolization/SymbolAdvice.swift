import ProcessImage
import TraceModel

/// Says of files without symbols where their symbols can be had.
package final class SymbolAdvice {
  private let packages: DebianPackages
  /// By path and build id: the package with the symbols, or nil.
  private var known: [String: String?] = [:]

  package init(packages: DebianPackages = DebianPackages()) { self.packages = packages }

  /// Of so many files something is said.
  private static let mostFiles = 3

  /// The files in which most frames without a name lie, those of the most memory first.
  package func missingSymbols(in report: Report) -> [MissingSymbols] {
    struct Sum { var frames: UInt64 = 0, bytes: UInt64 = 0 }
    struct File: Hashable { var module: String, buildID: String? }
    var sums: [File: Sum] = [:]
    for site in report.sites {
      for frame in site.frames where frame.unresolved == .noSymbol {
        guard let module = frame.module, module.utf8.first == UInt8(ascii: "/") else { continue }
        let file = File(module: module, buildID: frame.buildID)
        sums[file, default: Sum()].frames += 1
        sums[file, default: Sum()].bytes += site.outstanding.bytes
      }
    }
    let files = sums.sorted { ($0.value.bytes, $1.key.module) > ($1.value.bytes, $0.key.module) }.prefix(Self.mostFiles)
    let found = debugPackages(of: files.map { ($0.key.module, $0.key.buildID) })
    return files.map { file, sum in
      MissingSymbols(
        module: file.module, buildID: file.buildID, frames: sum.frames, package: found[file.module] ?? nil)
    }
  }

  /// The packages with the symbols of these files, which belong to packages of this host.
  package func debugPackages(of files: [(path: String, buildID: String?)]) -> [String: String] {
    let key = { (file: (path: String, buildID: String?)) in "\(file.path) \(file.buildID ?? "")" }
    let new = files.filter { known[key($0)] == nil }
    if !new.isEmpty {
      let owners = packages.owners(of: Set(new.map(\.path)))
      for file in new {
        let owner = owners[file.path].flatMap { isOurs(file.path, buildID: file.buildID) ? $0 : nil }
        known[key(file)] = .some(owner.map(DebianPackages.debugPackage))
      }
    }
    var result: [String: String] = [:]
    for file in files { if let package = known[key(file)] ?? nil { result[file.path] = package } }
    return result
  }

  /// Whether a file that a process had is the one that this host has at that path: a process in a container has other files.
  private func isOurs(_ path: String, buildID: String?) -> Bool {
    guard let buildID, let opened = try? RootedFile.open(path: path, beneath: "/"),
      let file = try? ElfFile(descriptor: opened.descriptor, name: path)
    else { return false }
    return file.buildID == buildID
  }

  /// Whether names of a file's own functions are known: by its symbol table, or a file beside it.
  package static func hasSymbols(_ file: ElfFile, path: String, processID: Int32) -> Bool {
    if file.section(named: ".symtab") != nil || file.section(named: ".gnu_debugdata") != nil { return true }
    let separate = SeparateDebugFile(directories: SymbolizerOptions().debugDirectories, processID: processID)
    return separate.find(for: file, path: path) != nil
  }
}
