import CElfUtils
import Glibc
import ProcessImage
import SystemSupport
import TraceModel

/// Knows which table belongs to which file, and how addresses in the file relate to those in a mapping.
struct UnwindFileCatalog {
  /// Stands for the vDSO, which is not a file.
  static let virtualObject = FileVersion.none

  /// The version of an open file; nil when it cannot be told.
  static func version(of descriptor: Int32) -> FileVersion? {
    var status = stat()
    return fstat(descriptor, &status) == 0 ? FileVersion(status, by: .change) : nil
  }

  struct File {
    var source: UnwindPublication.Source
    /// Address in the file at which block 0 of the table begins.
    var textStart: UInt64
    let segments: [ElfFile.LoadSegment]

    /// Where an address of the file is loaded, given the mapping of a part of it.
    func loadedAddress(of address: UInt64, in mapping: Mapping) -> UInt64? {
      for segment in segments {
        // Mappings begin at page boundaries, segments anywhere in a page.
        let firstOffset = segment.fileOffset & ~0xfff
        guard mapping.fileOffset >= firstOffset,
          mapping.fileOffset - firstOffset < segment.fileSize &+ 0xfff
        else { continue }
        let mapped = segment.virtualAddress &+ mapping.fileOffset &- segment.fileOffset
        return address &+ mapping.start &- mapped
      }
      return nil
    }
  }

  private var files: [FileVersion: File] = [:]

  /// Files without a table are forgotten when there are more files than this.
  private static let maximumCount = 8192

  subscript(key: FileVersion) -> File? {
    get { files[key] }
    set {
      if files.count >= Self.maximumCount {
        files = files.filter {
          if case .table = $0.value.source { true } else { false }
        }
      }
      files[key] = newValue
    }
  }

  /// Forgets the files of tables that were removed, so that they are loaded again.
  mutating func forget(tables: Set<UnwindTableStore.Identifier>) {
    guard !tables.isEmpty else { return }
    files = files.filter {
      if case .table(let identifier) = $0.value.source { return !tables.contains(identifier) }
      return true
    }
  }

  /// Forgets the files whose tables did not fit, because they may fit now.
  mutating func forgetRefused() {
    files = files.filter { $0.value.source != .refused }
  }
}
