import Allocators
import BPFRuntime
import CTraceABI
import Gate
import Glibc
import ProcessImage
import SystemSupport
import TraceModel

/// Leads the allocator functions of processes through gates, as far as that is safe; what is left is probed as usual.
final class GateAttacher {
  private let programs: ProbePrograms
  private let followsForks: Bool
  private let selection: GateSelection
  private let notes: TraceNotes
  /// Stops processes; nil while no gate can be made.
  var host: (any GateHost)?
  /// Tells the programs where the code of a process's gates is.
  private let announce: (TracedProcess, [Range<UInt64>]) -> Void

  init(
    configuration: TraceConfiguration, programs: ProbePrograms, notes: TraceNotes,
    announce: @escaping (TracedProcess, [Range<UInt64>]) -> Void
  ) {
    self.programs = programs
    self.announce = announce
    self.notes = notes
    followsForks = configuration.followsForks
    var sampling = GateSelection.Sampling.none
    if let mean = configuration.sampleMeanInBytes { sampling = .bytes(mean) }
    if let every = configuration.sampleEveryNth, every > 1 { sampling = .calls(UInt64(every)) }
    selection = GateSelection(sampling: sampling, sizes: configuration.sizes)
  }

  /// A place to probe, by its index.
  struct Candidate {
    var index: UInt32
    var probe: AllocatorProbe
  }

  /// Makes gates for what can be led through one. Returns the places that need no probes of their own now.
  func install(
    _ candidates: [Candidate], in process: TracedProcess, file: (Mapping) -> ElfFile?
  ) -> Set<UInt32> {
    guard let host else { return [] }
    var done: Set<UInt32> = []
    let byObject = Dictionary(grouping: candidates.filter { !$0.probe.function.isSystemCall }) {
      $0.probe.object.identity
    }
    for (_, ofObject) in byObject.sorted(by: { $0.value[0].index < $1.value[0].index }) {
      let name = ofObject[0].probe.object.path
      do {
        guard process.gates.count < Int(LT_MAX_GATES) else {
          throw GateFailure.refused("a process can have \(LT_MAX_GATES) gates at most")
        }
        let gate = try make(plan(ofObject, in: process, file: file), for: process, host)
        process.gates.append(gate)
        done.formUnion(gate.probes)
      } catch { notes.addOnce("\(name) has no gate in process \(process.processID), it is probed: \(error)") }
    }
    return done
  }

  // MARK: Planning

  private func plan(
    _ candidates: [Candidate], in process: TracedProcess, file: (Mapping) -> ElfFile?
  ) throws -> Planned {
    let object = candidates[0].probe.object
    let ranges = process.mappings.filter { $0.isFileBacked && $0.file == object.identity }
    let executable = ranges.filter { $0.permissions.contains(.execute) }
    guard let code = executable.first, let elf = file(code), let start = ranges.map(\.start).min() else {
      throw GateFailure.refused("its file cannot be read")
    }
    guard executable.count == 1 else { throw GateFailure.refused("it is mapped more than once") }
    let size = min(code.end &- code.start, UInt64(elf.bytes.count) &- min(code.fileOffset, UInt64(elf.bytes.count)))
    guard size <= Self.mostCode, let bytes = elf.bytes.slice(at: code.fileOffset, size: size) else {
      throw GateFailure.refused("its code is larger than \(Self.mostCode >> 20) MiB")
    }
    var functions: [GateFunction] = []
    for candidate in candidates {
      do {
        functions.append(try function(candidate, code: bytes, of: code))
      } catch {
        notes.addOnce("\(candidate.probe.function.name) of \(object.path) is probed without a gate: \(error)")
      }
    }
    let reached = rangesJumpedInto(code: bytes, address: code.start, ranges: functions.map(\.forbidden))
    for index in reached.sorted(by: >) {
      let name = functions.remove(at: index).function.name
      notes.addOnce("\(name) of \(object.path) is probed without a gate: a jump leads into its first instructions")
    }
    guard !functions.isEmpty else { throw GateFailure.refused("none of its functions can be led through one") }
    markNesting(&functions)
    let left = LeftGates(mappings: process.mappings, except: Set(process.gates.map(\.code.lowerBound)))
    let planned = functions
    let reusable = left.reusable(
      { GatePlan(functions: planned, selection: self.selection, start: $0) }, processID: process.processID)
    if let reusable { return .reused(reusable) }
    let plan = GatePlan(
      functions: functions, selection: selection, object: start..<code.end, mappings: process.mappings)
    guard let plan else { throw GateFailure.refused("there is no room near it") }
    return .new(plan)
  }

  private enum Planned {
    case new(GatePlan)
    /// One that an earlier trace has left.
    case reused(InstalledGate)
  }

  private static let mostCode: UInt64 = 256 << 20

  private func function(
    _ candidate: Candidate, code: UnsafeRawBufferPointer, of mapping: Mapping
  ) throws -> GateFunction {
    let probe = candidate.probe
    if probe.function.traits.contains(.mayThrow) {
      throw GateFailure.refused("it may throw, and an exception does not find its way through a gate")
    }
    let offset = probe.fileOffset &- mapping.fileOffset
    guard probe.fileOffset >= mapping.fileOffset, offset < UInt64(code.count) else {
      throw GateFailure.refused("it is not in the mapped code")
    }
    let length = Int(min(probe.size == 0 ? 64 : min(probe.size, 4096), UInt64(code.count) &- offset))
    let bytes = UnsafeRawBufferPointer(rebasing: code[Int(offset)..<Int(offset) + length])
    let address = mapping.start &+ offset
    let entry = try EntryCode(code: bytes, address: address)
    let function = GateFunction(
      probe: candidate.index, function: probe.function, address: address, entry: entry, code: Array(bytes))
    guard function.canBePatched else { throw GateFailure.refused("its jump would lie on two pages") }
    return function
  }

  private func markNesting(_ functions: inout [GateFunction]) {
    let entries = functions.map { $0.address..<$0.address &+ 1 }
    for index in functions.indices {
      let function = functions[index]
      let reached = function.code.withUnsafeBytes {
        rangesJumpedInto(code: $0, address: function.address, ranges: entries)
      }
      functions[index].mayNest = function.function.traits.contains(.mayNest) || !reached.subtracting([index]).isEmpty
    }
  }

  // MARK: Making

  private func make(_ planned: Planned, for process: TracedProcess, _ host: any GateHost) throws -> TracedGate {
    let installed =
      switch planned {
      case .reused(let gate): gate
      case .new(let plan): try Self.stopping(process, host) { target in try InstalledGate.map(plan, in: target) }
      }
    do {
      let gate = try probe(installed, process)
      // Before any call goes through it.
      announce(process, (process.gates + [gate]).map(\.code))
      try Self.stopping(process, host) { target in try installed.open(in: target) }
      return gate
    } catch {
      announce(process, process.gates.map(\.code))
      try? Self.stopping(process, host) { target in installed.unmap(in: target) }
      throw error
    }
  }

  /// Makes a process that has gates of an earlier trace as if it had none.
  ///
  /// - Parameters:
  ///   - objects: the mappings of code in which there may be probes, and their files.
  ///   - host: who stops the process; nil when it cannot be stopped.
  static func takeOffLeft(
    in process: TracedProcess, objects: [(Mapping, ElfFile)], host: () -> (any GateHost)?
  ) throws {
    let left = LeftGates(mappings: process.mappings, except: Set(process.gates.map(\.code.lowerBound)))
    guard !left.isEmpty, let memory = try? RemoteMemory(processID: process.processID) else { return }
    var jumps: [LeftGates.Jump] = []
    for (mapping, file) in objects {
      let size = UInt64(file.bytes.count) &- min(mapping.fileOffset, UInt64(file.bytes.count))
      guard let bytes = file.bytes.slice(at: mapping.fileOffset, size: size) else { continue }
      jumps += left.jumps(in: mapping, file: bytes, memory: memory)
    }
    if jumps.isEmpty { return }
    guard !left.areInUse(by: process.processID) else {
      throw Refusal(
        "process \(process.processID) (\(process.command)) is traced through a gate by another leaktrace: end that one first"
      )
    }
    guard let host = host() else {
      throw Refusal("process \(process.processID): what an earlier trace has left in its code cannot be taken off now")
    }
    try Self.stopping(process, host) { target in try LeftGates.takeOff(jumps, in: target) }
  }

  /// Tries again for a while where threads stand in the way.
  private static func stopping<Value>(
    _ process: TracedProcess, _ host: any GateHost, _ body: (StoppedTarget) throws -> Value
  ) throws -> Value {
    for _ in 0..<Self.attempts {
      do { return try host.withStopped(process.processID, body) } catch GateFailure.busy { usleep(5_000) }
    }
    throw GateFailure.busy
  }

  private static let attempts = 20

  private func probe(_ gate: InstalledGate, _ process: TracedProcess) throws -> TracedGate {
    var links: [Link] = []
    let all = gate.plan.places.map { Link.Place(fileOffset: $0.offset, cookie: cookie($0, gate.plan)) }
    var cleaner: Link?
    if programs.method == .session {
      cleaner = try Link.cleaner(programs.object.program("gate_freed"), kind: .entry, path: gate.path, places: all)
    }
    for role in [GatePlace.Role.freed, .entered, .allocated] {
      let places = zip(gate.plan.places, all).filter { $0.0.role == role }.map(\.1)
      if places.isEmpty { continue }
      let program = try programs.object.program(Self.program(role))
      links += try programs.attach(
        program, to: places, path: gate.path, processID: followsForks ? nil : process.processID)
    }
    return TracedGate(
      installed: gate, probes: Set(gate.plan.functions.map(\.probe)), links: links, cleaner: cleaner)
  }

  private static func program(_ role: GatePlace.Role) -> String {
    switch role {
    case .allocated: "gate_allocated"
    case .entered: "gate_entered"
    case .freed: "gate_freed"
    }
  }

  private func cookie(_ place: GatePlace, _ plan: GatePlan) -> UInt64 {
    guard let function = plan.functions.first(where: { $0.probe == place.probe })?.function else { return 0 }
    return function.attachCookie(probeIndex: Int(place.probe))
  }

  /// Gives a child, which has a copy of its parent's memory, its parent's gates, as far as it still has them.
  func inherit(from parent: TracedProcess, to child: TracedProcess) {
    guard !parent.gates.isEmpty, let mappings = try? ProcessMaps.read(processID: child.processID) else { return }
    let left = Set(LeftGates(mappings: mappings, except: []).mappings.map(\.start))
    child.gates = parent.gates.filter { left.contains($0.code.lowerBound) }
    announce(child, child.gates.map(\.code))
  }

  // MARK: Ending

  /// Leads the functions of processes where they led before, as far as the processes can be stopped; the others go on
  /// through their gates, which work without us.
  func close(_ processes: [TracedProcess]) {
    guard let host else { return }
    for process in processes where process.state == .running {
      for gate in process.gates {
        try? Self.stopping(process, host) { target in gate.installed.close(in: target) }
      }
    }
  }
}
