import ProcessImage

/// Has an object file read by the worker.
///
/// If the worker fails with it, the file is tried without its debug information, and after that not at all.
final class RemoteModuleReader: ModuleReading {
  private enum Level: UInt8 {
    case nothing, symbols, everything
  }

  private let elf: ElfFile
  private let path: String
  private let debugFiles: SeparateDebugFile
  private let options: SymbolizerOptions
  private let losses: NamingLosses
  private let worker: SymbolWorker
  private let number: UInt32
  private var level: Level
  /// The worker in which the module is open, and at which level.
  private var opened: (generation: Int, level: Level)?

  init(
    _ elf: ElfFile, path: String, debugFiles: SeparateDebugFile, options: SymbolizerOptions,
    losses: NamingLosses, worker: SymbolWorker
  ) {
    self.elf = elf
    self.path = path
    self.debugFiles = debugFiles
    self.options = options
    self.losses = losses
    self.worker = worker
    number = worker.newModuleNumber()
    level = options.linesAndInlines ? .everything : .symbols
  }

  func functions(at address: UInt64) -> [Module.Function]? {
    var message = MessageWriter()
    message.put(WorkerRequest.functions.rawValue)
    message.put(number)
    message.put(address)
    guard var answer = ask(message) else { return level == .nothing ? [] : nil }
    noteLosses(answer.number(UInt8.self))
    let functions = answer.functions()
    return answer.failed ? [] : functions
  }

  func variable(at address: UInt64) -> Module.Variable? {
    var message = MessageWriter()
    message.put(WorkerRequest.variable.rawValue)
    message.put(number)
    message.put(address)
    guard var answer = ask(message), let name = answer.text() else { return nil }
    var variable = Module.Variable(
      name: name, start: answer.number(UInt64.self), size: answer.number(UInt64.self))
    variable.file = answer.text()
    let line = answer.number(UInt32.self)
    variable.line = line == 0 ? nil : Int(line)
    variable.type = answer.text()
    return answer.failed ? nil : variable
  }

  func forget() {}

  func releasePages() {}

  /// The worker's answer. nil if leaktrace was told to end meanwhile, or the file cannot be read.
  private func ask(_ message: MessageWriter) -> MessageReader? {
    while level != .nothing {
      do {
        try open()
        return try worker.request(message)
      } catch {
        switch error {
        case .interrupted:
          losses.interrupted += 1
          return nil
        case .givenUp:
          losses.note(.noNames, of: path, why: error.text)
          return nil
        case .cannotStart:
          losses.note(.noNames, of: path, why: error.text)
          level = .nothing
        case .died, .tookTooLong, .malformed:
          level = level == .everything ? .symbols : .nothing
          losses.note(level == .symbols ? .noLines : .noNames, of: path, why: error.text)
        }
      }
    }
    return nil
  }

  /// Passes the files to the worker, unless it has them.
  private func open() throws(SymbolWorker.Failure) {
    try worker.prepare()
    if let opened, opened.generation == worker.generation, opened.level == level { return }
    var separate: ElfFile?
    var supplement: ElfFile?
    let hasDebugInformation = DebugInformation.isIn(elf)
    if elf.symbolTable(.full) == nil || level == .everything && !hasDebugInformation {
      separate = debugFiles.find(for: elf, path: path)
    }
    if level == .everything, let source = hasDebugInformation ? elf : separate {
      supplement = debugFiles.supplement(of: source)
    }
    let found = [separate, supplement].compactMap { $0 }
    var message = MessageWriter()
    message.put(WorkerRequest.open.rawValue)
    message.put(number)
    message.put(UInt8(level == .everything ? 1 : 0))
    message.put(UInt8(options.demangle ? 1 : 0))
    message.put(UInt8(separate == nil ? 0 : 1))
    message.put(UInt8(supplement == nil ? 0 : 1))
    message.put(path)
    let generation = worker.generation
    _ = try withExtendedLifetime(found) { () throws(SymbolWorker.Failure) in
      try worker.request(message, descriptors: [elf.descriptor] + found.map(\.descriptor))
    }
    opened = (generation, level)
  }

  /// - Parameter kinds: a bit for each kind of loss.
  private func noteLosses(_ kinds: UInt8) {
    for kind in [NamingLosses.Kind.tooLarge, .partial] where kinds & 1 << kind.rawValue != 0 {
      losses.note(kind, of: path)
    }
  }
}
