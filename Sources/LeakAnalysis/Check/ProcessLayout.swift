import ProcessImage
import TraceModel

/// What is read of a process before it is stopped, so that it is stopped for less time.
final class ProcessLayout {
  /// A thread of the process through which /proc shows its memory: the first one unless that has ended.
  let memoryOwner: Int32
  private let memory: RemoteMemory
  /// By start and inode; nil for files that are not ELF.
  private var known: [[UInt64]: ModuleImage?] = [:]
  let kernelPointers: KernelHeldPointers
  /// What a language runtime manages.
  private(set) var interpreterHeaps: [InterpreterHeap] = []
  private(set) var threadNames: [Int32: String] = [:]
  private var emptyCollector: BlockCollector?

  /// - Parameters:
  ///   - blockCount: blocks that memory is made ready for.
  ///   - searchThreads: how many threads make it ready.
  init(processID: Int32, blockCount: Int, searchThreads: Int) throws(ProcessError) {
    emptyCollector = BlockCollector(capacity: blockCount, threads: searchThreads)
    let threads = ProcessInfo.threads(of: processID)
    memoryOwner = threads.first { (try? ProcessInfo(processID: $0))?.isThreadOver == false } ?? processID
    memory = try RemoteMemory(processID: memoryOwner)
    kernelPointers = KernelHeldPointers(processID: memoryOwner)
    if let mappings = try? ProcessMaps.read(processID: memoryOwner) {
      interpreterHeaps = InterpreterHeap.find(
        mappings: mappings, modules: modules(in: mappings),
        memory: try ResidentMemory(processID: memoryOwner, mappings: mappings))
    }
    for thread in threads {
      guard let name = try? readFile("/proc/\(processID)/task/\(thread)/comm") else { continue }
      threadNames[thread] = String(decoding: name.prefix { $0 != UInt8(ascii: "\n") }, as: UTF8.self)
    }
  }

  /// The collector that was made ready. Every further call makes a new one.
  func takeCollector() -> BlockCollector {
    if let collector = emptyCollector.take() { return collector }
    return BlockCollector()
  }

  /// The executable and its libraries.
  func modules(in mappings: [Mapping]) -> [ModuleImage] {
    mappings.compactMap { mapping in
      guard mapping.isFileBacked, mapping.fileOffset == 0 else { return nil }
      let key = [mapping.start, mapping.inode, mapping.device]
      if let module = known[key] { return module }
      let module = ModuleImage(mapping: mapping, memory: memory)
      known[key] = .some(module)
      return module
    }
  }
}
