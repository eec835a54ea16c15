/// Who keeps reachable blocks of a site: where the paths begin that lead from a root to them, added up.
package struct Holder: Hashable, Codable, Sendable {
  package var kind: Kind
  /// The variable, for a stack the function whose frame it is, for a runtime its heap, else the memory; nil when it is not
  /// known.
  package var name: String?
  /// The type of the variable, where debug information tells.
  package var type: String?
  /// Path of the object that the variable or the function is in.
  package var module: String?
  /// Where the variable is declared, or where the function has called the next one.
  package var file: String?
  package var line: Int?
  /// For stacks, registers and thread-local memory.
  package var threadID: Int32?
  package var threadName: String?
  /// What most of the paths pass, the site that lies nearest to the root first. Empty when the holder points to the blocks
  /// themselves.
  package var through: [Step]
  /// Whether most of the paths pass heap memory from before the trace first, of which no site is known.
  package var passesOldMemory: Bool?
  package var held: Tally
  /// The part of the site's reachable and possibly lost bytes that it holds, 0 to 1.
  package var share: Double

  package enum Kind: String, Hashable, Codable, Sendable, CaseIterable {
    /// A global or static variable.
    case global
    /// A thread-local variable, or another value of a thread's own.
    case threadLocal = "thread_local"
    case stack
    case registers
    /// The heap of a language runtime.
    case runtime
    /// Heap memory from before the trace.
    case heap
    /// Other memory that the program can use.
    case memory
    case kernel
    /// Of some blocks it is not known.
    case unknown
  }

  /// A site whose blocks lie on the paths.
  package struct Step: Hashable, Codable, Sendable {
    /// The first function that is neither an allocator nor a part of the language's library.
    package var function: String?
    package var file: String?
    package var line: Int?
    /// What they are parts of, such as `std::map`; nil when it is not known.
    package var container: String?
    /// How many blocks of this site lie on the paths.
    package var count: UInt64
    /// Whether the blocks are of the very site that is held, as in a linked list.
    package var isSameSite: Bool

    package init(function: String?, file: String? = nil, line: Int? = nil, count: UInt64, isSameSite: Bool = false) {
      self.function = function
      self.file = file
      self.line = line
      self.count = count
      self.isSameSite = isSameSite
    }
  }

  package init(
    kind: Kind, name: String? = nil, type: String? = nil, module: String? = nil, file: String? = nil, line: Int? = nil,
    threadID: Int32? = nil, threadName: String? = nil, through: [Step] = [], held: Tally = Tally(), share: Double = 0
  ) {
    self.kind = kind
    self.name = name
    self.type = type
    self.module = module
    self.file = file
    self.line = line
    self.threadID = threadID
    self.threadName = threadName
    self.through = through
    self.held = held
    self.share = share
  }

  /// In a few words: ``global `sessions` (cache.cpp:12)``. Names are the target's: escape them before they are printed.
  package var words: String {
    let place = Self.place(file, line).map { " (\($0))" } ?? ""
    let thread = threadID.map { number in threadName.map { "thread \(number) (\($0))" } ?? "thread \(number)" }
    let object = module?.split(separator: "/").last.map(String.init)
    switch kind {
    case .global:
      guard let name else { return object.map { "the data of \($0)" } ?? "a global variable" }
      // The arguments of a template are long, and seldom what one wants to know.
      let generic = type?.split(separator: "<", maxSplits: 1).first.flatMap {
        $0.count < type?.count ?? 0 ? "\($0)<…>" : nil
      }
      let details = [generic, Self.place(file, line) ?? object].compactMap(\.self)
      return "global `\(name)`" + (details.isEmpty ? "" : " (\(details.joined(separator: ", ")))")
    case .threadLocal:
      let what = name.map { "thread-local `\($0)`\(place)" } ?? "thread-local data"
      return thread.map { "\(what) of \($0)" } ?? what
    case .stack:
      let what = thread.map { "the stack of \($0)" } ?? "a stack"
      return name.map { "\(what), in \($0)\(place)" } ?? what
    case .registers:
      return thread.map { "a register of \($0)" } ?? "a register"
    case .runtime: return name ?? "a language runtime"
    case .heap: return name ?? "heap memory from before the trace"
    case .memory: return name ?? "other memory"
    case .kernel: return name.map { "the kernel (\($0))" } ?? "the kernel"
    case .unknown: return "an unknown holder"
    }
  }

  /// By what it leads to the blocks: `through blocks of insert (cache.cpp:30)`; nil when it points to them itself.
  package var path: String? {
    let isOld = passesOldMemory == true
    if through.isEmpty, !isOld { return nil }
    let parts =
      (isOld ? ["heap memory from before the trace"] : [])
      + through.map { step in
        if step.isSameSite { return step.container.map { "\($0) nodes" } ?? "each other" }
        let blocks = step.container.map { "\($0) nodes" } ?? "blocks"
        let place = Self.place(step.file, step.line).map { " (\($0))" } ?? ""
        return "\(blocks) of \(step.function ?? "an unnamed function")\(place)"
      }
    return "through " + parts.joined(separator: ", then ")
  }

  /// `words` and `path` together.
  package var sentence: String { path.map { "\(words), \($0)" } ?? words }

  private static func place(_ file: String?, _ line: Int?) -> String? {
    guard let file = file?.split(separator: "/").last else { return nil }
    return line.map { "\(file):\($0)" } ?? String(file)
  }
}

extension Holder {
  /// Two sites' holders as those of their sum; nil only where neither was checked.
  package static func added(_ first: [Holder]?, _ second: [Holder]?) -> [Holder]? {
    guard let first, let second else { return first ?? second }
    var sum = first
    for holder in second {
      if let known = sum.firstIndex(where: { $0.isSame(as: holder) }) {
        sum[known].held += holder.held
        if sum[known].through != holder.through { sum[known].through = [] }
        if sum[known].passesOldMemory != holder.passesOldMemory { sum[known].passesOldMemory = nil }
      } else {
        sum.append(holder)
      }
    }
    let all = sum.reduce(UInt64(0)) { $0 &+ $1.held.bytes }
    for index in sum.indices { sum[index].share = all > 0 ? Double(sum[index].held.bytes) / Double(all) : 0 }
    return sum.sorted { ($0.held.bytes, $0.held.count) > ($1.held.bytes, $1.held.count) }
  }

  private func isSame(as other: Holder) -> Bool {
    kind == other.kind && name == other.name && module == other.module && file == other.file && line == other.line
      && threadID == other.threadID
  }
}

extension Holder {
  /// A variable's name without GCC's marks of the ABI, `sessions[abi:cxx11]`, which are no part of what a programmer wrote.
  package static func withoutTags(_ name: String) -> String {
    var name = name
    while let mark = name.firstRange(of: "[abi:"), let end = name[mark.upperBound...].firstIndex(of: "]") {
      name.removeSubrange(mark.lowerBound...end)
    }
    return name
  }
}

/// A place where blocks of a site are freed as a rule, from a sample of their frees.
package struct FreePlace: Hashable, Codable, Sendable {
  /// Named frames, leaf first: the function that was called to free is not among them.
  package var frames: [Frame]
  /// Frees of the sample that came from here.
  package var sampledCount: UInt64
  /// The part of all blocks that the site has allocated and that was freed here, 0 to 1: an estimate.
  package var share: Double

  package init(frames: [Frame], sampledCount: UInt64, share: Double) {
    self.frames = frames
    self.sampledCount = sampledCount
    self.share = share
  }
}

extension [FreePlace] {
  /// Adds a place, or its numbers to the one that has the same functions.
  package mutating func add(_ place: FreePlace) {
    guard let known = firstIndex(where: { $0.frames.map(\.function) == place.frames.map(\.function) }) else {
      append(place)
      return
    }
    self[known].share += place.share
    self[known].sampledCount &+= place.sampledCount
  }
}

extension FreePlace {
  /// Two sites' places as those of their sum, of which the sites have allocated so many blocks.
  package static func added(
    _ first: [FreePlace]?, of firstCount: UInt64, _ second: [FreePlace]?, of secondCount: UInt64
  ) -> [FreePlace]? {
    guard first != nil || second != nil else { return nil }
    let all = Double(firstCount) + Double(secondCount)
    guard all > 0 else { return first ?? second }
    var sum: [FreePlace] = []
    for (places, count) in [(first ?? [], firstCount), (second ?? [], secondCount)] {
      for var place in places {
        place.share *= Double(count) / all
        sum.add(place)
      }
    }
    return sum.sorted { $0.share > $1.share }
  }
}
