import AllocationTracing
import LeakAnalysis
import ProcessImage
import Symbolization
import TraceModel

/// Names who holds the blocks of one checked process: variables, stacks, runtimes. Nothing is named before a report asks.
final class HolderNaming {
  private let tracer: AllocationTracer
  private let symbolizer: Symbolizer
  private unowned let result: LeakCheckResult
  private let process: TracedProcess
  private lazy var sums: [UInt32: [PathSum]] = result.addUpPaths { [unowned self] in number(of: $0) }
  private lazy var owners: OldMemoryOwners? = result.oldMemoryOwners()
  private var holders: [Holder] = []
  private var numbers: [Key: Int] = [:]
  /// The numbers of the same holders where paths pass memory from before the trace first, and the other way round.
  private var throughOldMemory: [Int: Int] = [:]
  private var withoutOldMemory: [Int: Int] = [:]
  /// Variables found so far, ascending by address.
  private var variables: [(range: Range<UInt64>, number: Int)] = []
  private var lookups = 0
  private var frames: [Int32: [AllocationTracer.CopiedFrame]] = [:]

  private struct Key: Hashable {
    var kind: Holder.Kind
    var text: String
    var number: UInt64 = 0
  }

  private static let mostLookups = 512
  private static let mostHolders = 16
  private static let mostSteps = 3

  private init(_ result: LeakCheckResult, _ process: TracedProcess, tracer: AllocationTracer, symbolizer: Symbolizer) {
    self.result = result
    self.process = process
    self.tracer = tracer
    self.symbolizer = symbolizer
    // What stacks are walked by goes when the process ends.
    for copy in result.stacks { frames[copy.threadID] = tracer.frames(of: copy, in: process) }
  }

  /// Has a result say who holds what, when it is asked.
  static func prepare(
    _ result: LeakCheckResult, of process: TracedProcess, tracer: AllocationTracer, symbolizer: Symbolizer
  ) {
    let naming = HolderNaming(result, process, tracer: tracer, symbolizer: symbolizer)
    result.describeHolders = { naming.holders(ofSites: $0) }
  }

  private func holders(ofSites tags: [UInt32]) -> [Holder]? {
    var found: [Int: (held: Tally, main: PathSum)] = [:]
    for tag in Set(tags) {
      for sum in sums[tag] ?? [] {
        guard let known = found[sum.holder] else {
          found[sum.holder] = (sum.held, sum)
          continue
        }
        var held = known.held
        held += sum.held
        found[sum.holder] = (held, known.main.held.bytes >= sum.held.bytes ? known.main : sum)
      }
    }
    // A variable that leads to blocks both ways is one holder, with the path of most bytes.
    for (number, sum) in found {
      guard let direct = withoutOldMemory[number], let other = found[direct] else { continue }
      let (kept, dropped) = sum.held.bytes >= other.held.bytes ? (number, direct) : (direct, number)
      var held = sum.held
      held += other.held
      found[kept]?.held = held
      found[dropped] = nil
    }
    if found.isEmpty { return nil }
    let all = found.values.reduce(UInt64(0)) { $0 &+ $1.held.bytes }
    let order = found.sorted { ($0.value.held.bytes, $1.key) > ($1.value.held.bytes, $0.key) }
    return order.prefix(Self.mostHolders).compactMap { number, sum in
      guard number < holders.count else { return nil }
      var holder = holders[number]
      holder.held = sum.held
      holder.share = all > 0 ? Double(sum.held.bytes) / Double(all) : 0
      for next in sum.main.through.map(step) {
        // Two parts of one container are one step.
        if let last = holder.through.last, last.function == next.function, last.container == next.container { continue }
        holder.through.append(next)
      }
      if holder.through.count > Self.mostSteps { holder.through.removeFirst(holder.through.count - Self.mostSteps) }
      if sum.main.isChained, let tag = tags.first {
        var step = step((tag, sum.held.count))
        (step.function, step.file, step.line, step.isSameSite) = (nil, nil, nil, true)
        holder.through.append(step)
      }
      return holder
    }
  }

  private func step(_ step: (tag: UInt32, count: UInt64)) -> Holder.Step {
    let frames = tracer.frames(ofSite: step.tag, of: process)
    let place = frames.firstIndex { !Self.isLibrary($0) }
    let own = place.map { frames[$0] } ?? frames.first
    var result = Holder.Step(function: own?.function, file: own?.file, line: own?.line, count: step.count)
    result.container = frames.prefix(place ?? 0).reversed().lazy.compactMap(Self.container).first
    return result
  }

  /// The standard library's container that a function is a member of, the inner parts of containers left out.
  private static func container(_ frame: Frame) -> String? {
    guard let name = frame.function, name.hasPrefix("std::"), let end = name.firstIndex(of: "<") else { return nil }
    let type = name[..<end]
    let last = type.dropFirst(5)
    return last.hasPrefix("_") || last.contains(where: { !$0.isLetter && $0 != "_" }) ? nil : String(type)
  }

  /// Whether a frame is an allocator's or the language library's: not what a reader wants to see named.
  private static func isLibrary(_ frame: Frame) -> Bool {
    guard let name = frame.function else { return true }
    let beginnings = ["std::", "__gnu_cxx::", "operator new", "void std::", "__libc_", "__static_initialization"]
    if beginnings.contains(where: name.hasPrefix) { return true }
    if let file = frame.file, file.contains("/include/c++/") { return true }
    return ["malloc", "calloc", "realloc", "memalign", "aligned_alloc", "posix_memalign", "strdup", "strndup"].contains(
      name)
  }

  // MARK: Numbers

  private func number(of beginning: PathBeginning) -> Int {
    switch beginning.place {
    case .root(let root): number(of: root, at: beginning.address)
    case .value(let value):
      switch value.kind {
      case .globals: number(Holder(kind: .global, module: value.name), Key(kind: .global, text: value.name))
      case .registers: numberOfThread(.registers, value.name)
      case .threadLocal: numberOfThread(.threadLocal, value.name)
      case .stack: numberOfThread(.stack, value.name)
      case .kernel: number(Holder(kind: .kernel, name: value.name), Key(kind: .kernel, text: value.name))
      case .interpreterHeap(let name): number(Holder(kind: .runtime, name: name), Key(kind: .runtime, text: name))
      case .anonymous, .unknownHeap:
        number(Holder(kind: .memory, name: value.name), Key(kind: .memory, text: value.name))
      }
    case .unknown: number(Holder(kind: .unknown), Key(kind: .unknown, text: ""))
    }
  }

  private func number(of root: Root, at address: UInt64?) -> Int {
    switch root.kind {
    case .globals: return numberOfVariable(in: root, at: address)
    case .stack: return numberOfFrame(root, at: address)
    case .threadLocal: return numberOfThread(.threadLocal, root.name)
    case .registers: return numberOfThread(.registers, root.name)
    case .interpreterHeap(let name):
      return number(Holder(kind: .runtime, name: name), Key(kind: .runtime, text: name))
    case .kernel: return number(Holder(kind: .kernel, name: root.name), Key(kind: .kernel, text: root.name))
    case .anonymous, .unknownHeap:
      // Whoever leads to that memory says more.
      if let address, let owner = owners?.owner(of: address), case .root(let other) = owner.place {
        return numberThroughOldMemory(of: number(of: other, at: owner.address))
      }
      if root.kind == .unknownHeap { return number(Holder(kind: .heap), Key(kind: .heap, text: "")) }
      return number(Holder(kind: .memory, name: root.name), Key(kind: .memory, text: root.name))
    }
  }

  private func numberThroughOldMemory(of number: Int) -> Int {
    if let known = throughOldMemory[number] { return known }
    guard number < holders.count else { return number }
    var holder = holders[number]
    holder.passesOldMemory = true
    holders.append(holder)
    throughOldMemory[number] = holders.count - 1
    withoutOldMemory[holders.count - 1] = number
    return holders.count - 1
  }

  private func number(_ holder: Holder, _ key: Key) -> Int {
    if let known = numbers[key] { return known }
    numbers[key] = holders.count
    holders.append(holder)
    return holders.count - 1
  }

  // MARK: Variables

  private func numberOfVariable(in root: Root, at address: UInt64?) -> Int {
    let whole = Holder(kind: .global, module: root.name)
    guard let address else { return number(whole, Key(kind: .global, text: root.name)) }
    if let known = knownVariable(at: address) { return known }
    guard lookups < Self.mostLookups else { return number(whole, Key(kind: .global, text: root.name)) }
    lookups += 1
    guard
      let found = symbolizer.variable(
        at: address, inModule: root.name, processID: process.processID, generation: process.imageNumber)
    else {
      let number = number(whole, Key(kind: .global, text: root.name))
      remember(address..<(address &+ 8), number)
      return number
    }
    var holder = Holder(
      kind: .global, name: Holder.withoutTags(found.name), module: root.name, file: found.file, line: found.line)
    holder.type = found.type
    let number = number(holder, Key(kind: .global, text: root.name, number: found.address))
    remember(found.address..<(found.address &+ max(found.size, 8)), number)
    return number
  }

  private func knownVariable(at address: UInt64) -> Int? {
    let place = place(of: address)
    return place > 0 && variables[place - 1].range.contains(address) ? variables[place - 1].number : nil
  }

  /// How many of the variables begin at an address or before.
  private func place(of address: UInt64) -> Int {
    var low = 0
    var high = variables.count
    while low < high {
      let middle = (low + high) / 2
      if variables[middle].range.lowerBound <= address { low = middle + 1 } else { high = middle }
    }
    return low
  }

  private func remember(_ range: Range<UInt64>, _ number: Int) {
    if range.isEmpty { return }
    variables.insert((range, number), at: place(of: range.lowerBound))
  }

  // MARK: Threads

  /// Roots of threads have names such as `thread 17 (worker)`.
  private func thread(_ name: String) -> (id: Int32, name: String?)? {
    guard name.hasPrefix("thread ") else { return nil }
    let rest = name.dropFirst("thread ".count)
    guard let id = Int32(rest.prefix { $0.isASCII && $0.isNumber }) else { return nil }
    guard let open = rest.firstIndex(of: "("), rest.last == ")" else { return (id, nil) }
    return (id, String(rest[rest.index(after: open)...].dropLast()))
  }

  private func numberOfThread(_ kind: Holder.Kind, _ name: String) -> Int {
    let thread = thread(name)
    var holder = Holder(kind: kind, threadID: thread?.id, threadName: thread?.name)
    if thread == nil, kind != .stack { holder.name = name }
    return number(holder, Key(kind: kind, text: name))
  }

  private func numberOfFrame(_ root: Root, at address: UInt64?) -> Int {
    guard let address, let thread = thread(root.name),
      let frame = frames[thread.id]?.first(where: { $0.stack.contains(address) })
    else { return numberOfThread(.stack, root.name) }
    // Every pointer of a frame comes here, and naming asks the worker.
    let key = Key(kind: .stack, text: root.name, number: frame.address)
    if let known = numbers[key] { return known }
    guard let named = tracer.functions(at: frame.address, in: process).last, let function = named.function else {
      let number = numberOfThread(.stack, root.name)
      numbers[key] = number
      return number
    }
    let holder = Holder(
      kind: .stack, name: function, module: named.module, file: named.file, line: named.line, threadID: thread.id,
      threadName: thread.name)
    return number(holder, key)
  }
}
