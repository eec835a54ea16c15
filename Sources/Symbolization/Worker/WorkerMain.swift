import CConfinement
import CElfUtils
import Glibc
import ProcessImage

/// What the worker does: it takes files over a connection, reads them, and answers. It starts as leaktrace itself with one
/// argument, and gives up its privileges before it is given the first file.
package enum WorkerMain {
  /// The argument by which leaktrace starts itself as a worker.
  static let argument = "read-symbols-without-privileges"

  /// Works until the connection ends, and does not return, if this process has been started as a worker.
  package static func runIfStarted() {
    guard CommandLine.arguments.count == 2, CommandLine.arguments[1] == argument else { return }
    var status = stat()
    guard fstat(Int32(CCONFINE_CONNECTION), &status) == 0, status.st_mode & S_IFMT == S_IFSOCK else {
      return
    }
    _exit(serve())
  }

  /// CPU seconds after which a worker ends, even if nobody is left who could end it.
  private static let maximumCPUSeconds: UInt64 = 600

  private static func serve() -> Int32 {
    guard var first = receive()?.message, first.number(UInt8.self) == WorkerRequest.configure.rawValue else { return 2 }
    let memory = first.number(UInt64.self)
    // Whatever opens a file when it is first used is used before files cannot be opened any more.
    _ = Demangler.demangle("_ZN4leak5traceEv")
    _ = celf_copies_are_lazy()
    celf_limit_copies(Int(clamping: memory / 2))
    guard cconfine_limit_memory(memory) == 0, cconfine_enter(maximumCPUSeconds) == 0, send(MessageWriter()) else {
      return 3
    }
    var worker = Worker(maximumUnpackedBytes: memory / 2)
    while let request = receive() {
      var message = request.message
      guard let answer = worker.answer(&message, request.descriptors), send(answer) else { return 4 }
    }
    return 0
  }

  private static func send(_ message: MessageWriter) -> Bool {
    let bytes = message.finished
    return cconfine_send(Int32(CCONFINE_CONNECTION), bytes, bytes.count, nil, 0) == 0
  }

  /// The next message and the descriptors that came with it; nil at the end.
  private static func receive() -> (message: MessageReader, descriptors: [Int32])? {
    var descriptors: [Int32] = []
    func take(_ count: Int) -> [UInt8]? {
      var bytes = [UInt8](repeating: 0, count: count)
      var filled = 0
      while filled < count {
        var received = [Int32](repeating: -1, count: 4)
        var receivedCount: Int32 = 0
        let got = bytes.withUnsafeMutableBytes {
          cconfine_receive(
            Int32(CCONFINE_CONNECTION), $0.baseAddress! + filled, count - filled, &received, 4, &receivedCount)
        }
        guard got > 0 else { return nil }
        descriptors += received.prefix(Int(receivedCount))
        filled += got
      }
      return bytes
    }
    guard let header = take(4) else { return nil }
    let length = header.enumerated().reduce(0) { $0 | Int($1.element) << ($1.offset * 8) }
    guard length <= MessageReader.maximumLength, let body = take(length) else { return nil }
    return (MessageReader(body), descriptors)
  }
}

/// The modules that a worker has open.
private struct Worker {
  let maximumUnpackedBytes: UInt64
  private var modules: [UInt32: (reader: ModuleReader, losses: NamingLosses)] = [:]

  init(maximumUnpackedBytes: UInt64) { self.maximumUnpackedBytes = maximumUnpackedBytes }

  /// nil if the message is none.
  mutating func answer(_ message: inout MessageReader, _ descriptors: [Int32]) -> MessageWriter? {
    defer { for descriptor in descriptors { close(descriptor) } }
    var answer = MessageWriter()
    switch WorkerRequest(rawValue: message.number(UInt8.self)) {
    case .open:
      open(&message, descriptors)
    case .functions:
      let number = message.number(UInt32.self)
      let functions = modules[number]?.reader.functions(at: message.number(UInt64.self)) ?? []
      let losses = modules[number]?.losses
      answer.put(
        NamingLosses.Kind.allCases.reduce(UInt8(0)) { $0 | (losses?.count(of: $1) ?? 0 > 0 ? 1 << $1.rawValue : 0) })
      answer.put(functions)
    case .variable:
      let number = message.number(UInt32.self)
      let found = modules[number]?.reader.variable(at: message.number(UInt64.self))
      answer.put(found?.name)
      answer.put(found?.start ?? 0)
      answer.put(found?.size ?? 0)
      answer.put(found?.file)
      answer.put(UInt32(clamping: found?.line ?? 0))
      answer.put(found?.type)
    case .demangle:
      answer.put(message.text().map { Demangler.demangle($0) })
    case .configure, nil:
      return nil
    }
    return answer.bytes.count <= MessageReader.maximumLength ? answer : MessageWriter()
  }

  private mutating func open(_ message: inout MessageReader, _ descriptors: [Int32]) {
    let number = message.number(UInt32.self)
    var options = SymbolizerOptions()
    options.linesAndInlines = message.number(UInt8.self) == 1
    options.demangle = message.number(UInt8.self) == 1
    options.maximumUnpackedBytes = maximumUnpackedBytes
    let hasSeparate = message.number(UInt8.self) == 1
    let hasSupplement = message.number(UInt8.self) == 1
    let name = message.text() ?? ""
    let files = descriptors.map { file($0, name) }
    modules[number] = nil
    guard let object = files.first ?? nil else { return }
    let separate = hasSeparate && files.count > 1 ? files[1] : nil
    let supplement = hasSupplement && files.count > 1 ? files[files.count - 1] : nil
    let losses = NamingLosses()
    modules[number] = (
      ModuleReader(
        .init(object: object, separate: { separate }, supplement: { _ in supplement }), options: options, losses: losses
      ),
      losses
    )
  }

  /// A file takes no memory when it is mapped, so that the limit is raised by its size.
  private func file(_ descriptor: Int32, _ name: String) -> ElfFile? {
    var status = stat()
    guard fstat(descriptor, &status) == 0, status.st_size > 0,
      cconfine_raise_memory_limit(UInt64(status.st_size) + (1 << 16)) == 0
    else { return nil }
    return try? ElfFile(descriptor: descriptor, name: name)
  }
}
