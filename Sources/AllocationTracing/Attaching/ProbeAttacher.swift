import BPFRuntime
import CTraceABI
import Gate
import Glibc
import ProcessImage
import SystemSupport
import TraceModel

/// Finds what is to be probed in processes and attaches to it: first to what frees, then to what allocates.
final class ProbeAttacher {
  private let configuration: TraceConfiguration
  private let programs: ProbePrograms
  private let reader: ProcessReader
  let files = ElfFileCache()
  /// nil when no gates are wanted.
  let gates: GateAttacher?
  private let notes: TraceNotes
  /// Every probed place. Its position is the index by which the programs know it.
  private(set) var probes: [AllocatorProbe] = []
  private var kinds: [Report.Probe.Kind] = []
  private var indexOfPlace: [ProbeKey: UInt32] = [:]
  private var objects: [FileIdentity: ProbedFile] = [:]
  /// Places for which there is a link that cleans up after the others, whatever ends them, and these links.
  private var cleanedPlaces: Set<ProbeKey> = []
  private var cleaners: [Link] = []
  /// Whether functions that may throw have return probes in a process whose unwinder is not probed.
  private var exceptionsMayEndProcesses = false

  private struct ProbeKey: Hashable {
    var file: FileIdentity
    var fileOffset: UInt64
  }

  /// Decides which program is attached at a place.
  private enum Role: CaseIterable { case free, mapping, returnInstruction, allocation }

  init(
    configuration: TraceConfiguration, programs: ProbePrograms, tables: TraceTables, spaces: AddressSpaces,
    reader: ProcessReader, notes: TraceNotes
  ) {
    self.configuration = configuration
    self.programs = programs
    self.reader = reader
    self.notes = notes
    guard configuration.usesGates else {
      gates = nil
      return
    }
    // A walk by frame pointers begins where the program stands, which would be in the gate.
    guard programs.framePointerReason == nil else {
      gates = nil
      notes.addOnce("functions are probed without gates: stacks are walked by frame pointers")
      return
    }
    gates = GateAttacher(configuration: configuration, programs: programs, notes: notes) {
      [tables, spaces] process, ranges in
      tables.setGates(ranges, slot: process.slot)
      // The new code is one that stacks are walked through.
      try? spaces.read(process)
    }
  }

  /// The name of the function behind a probe.
  func functionName(ofProbe probe: UInt32) -> String {
    Int(probe) < probes.count ? probes[Int(probe)].function.name : "?"
  }

  func probes(of process: TracedProcess) -> [AllocatorProbe] { process.probes.map { probes[Int($0)] } }

  /// Ends what belongs to no process. Called when the links of all processes have ended.
  func stop() { cleaners = [] }

  // MARK: Finding

  /// Looks at the objects that the process has mapped since the last look and probes what is of interest in them.
  ///
  /// - Parameter makesGates: whether gates are made where they are wanted.
  func attachToNewObjects(of process: TracedProcess, makesGates: Bool) throws {
    let mappings = process.mappings
    let executable = mappings.filter { $0.isFileBacked && $0.permissions.contains(.execute) }
    let fresh = executable.filter { process.image.examinedObjects.insert($0.file).inserted }
    if fresh.isEmpty { return }
    var found: [AllocatorProbe] = []
    for mapping in fresh {
      guard let file = files.file(behind: mapping, of: process.threadID) else { continue }
      let object = reader.describe(mapping, file, of: process.threadID)
      if objects[object.identity] == nil { objects[object.identity] = ProbedFile(file) }
      let calls = SystemCallProbes(
        file: file, object: object, readsFullSymbolTable: mapping.path == process.executable)
      if let hook = calls.loaderHook { try watch(hook, of: process) }
      process.image.exceptionHooks += calls.exceptionHooks
      if configuration.tracesMappings { found += calls.mappings }
    }
    // Probes must not come to stand in the jumps of a gate that an earlier trace has left.
    try GateAttacher.takeOffLeft(
      in: process,
      objects: fresh.compactMap { mapping in files.file(behind: mapping, of: process.threadID).map { (mapping, $0) } }
    ) { makesGates ? gates?.host ?? PausingGateHost(watch: nil) : nil }
    // The plan is made anew as a whole: which functions are wrappers depends on every object of the process.
    let plan = reader.plan(process.threadID, mappings: mappings, files: files)
    for note in plan.notes { notes.addOnce(note) }
    // Where nothing allocates, probing mappings alone is not worth a trace.
    if !plan.probes.isEmpty || !process.probes.isEmpty { found += plan.probes }
    for probe in found {
      objects[probe.object.identity]?.choose(Role.allCases.flatMap { fileOffsets(of: probe, role: $0) })
    }
    files.releasePages()
    try watchExceptions(of: process, before: found)
    // After an exec the same objects are mapped again, and their probes are still attached.
    let attached = Set(process.probes)
    var indices = found.compactMap(index(of:)).filter { !attached.contains($0) }
    if let gates, makesGates {
      let candidates = indices.map { GateAttacher.Candidate(index: $0, probe: probes[Int($0)]) }
      let gated = gates.install(candidates, in: process) { files.file(behind: $0, of: process.threadID) }
      indices.removeAll { gated.contains($0) }
      noteGated(gated, in: process)
    }
    try attach(indices, to: process)
    if plan.failure != nil || process.hasAllocator { process.failure = plan.failure }
  }

  /// A function that the user has mistyped; see ``AllocatorDiscovery/misspelling()``.
  func misspelling(in process: TracedProcess) -> String? {
    reader.discovery(process.threadID, mappings: process.mappings, files: files).misspelling()
  }

  /// Gives a child the gates of its parent, in whose copy of memory it runs.
  func inheritGates(of parent: TracedProcess, by child: TracedProcess) {
    gates?.inherit(from: parent, to: child)
    noteGated(child.gatedProbes, in: child)
  }

  /// Notes that places of a process need no probes, because its calls come through gates.
  private func noteGated(_ gated: Set<UInt32>, in process: TracedProcess) {
    guard !gated.isEmpty else { return }
    for index in gated { kinds[Int(index)] = .gate }
    process.probes += gated.sorted()
    process.hasAllocator = true
  }

  /// The index of a place; nil if there are too many.
  private func index(of probe: AllocatorProbe) -> UInt32? {
    let key = ProbeKey(file: probe.object.identity, fileOffset: probe.fileOffset)
    if let known = indexOfPlace[key] { return known }
    guard probes.count < Int(LT_MAX_PROBES) else {
      notes.addOnce("more than \(LT_MAX_PROBES) places cannot be probed at once: what came later is not traced")
      return nil
    }
    let index = UInt32(probes.count)
    probes.append(probe)
    kinds.append(.perf)
    indexOfPlace[key] = index
    return index
  }

  // MARK: Attaching

  /// Attaches to places in one process: to what frees before what allocates, so that no free of a recorded block is missed,
  /// and to what sees a return before what expects it.
  func attach(_ indices: [UInt32], to process: TracedProcess) throws {
    var links: [Link] = []
    var leftOut: Set<FileIdentity> = []
    // Roles that are served by one program share a link, whose places are probed in their order.
    let groups: [[Role]] =
      programs.method == .session
      ? [[.free], [.mapping, .returnInstruction, .allocation]] : Role.allCases.map { [$0] }
    for roles in groups {
      guard let role = roles.last else { continue }
      var placesByObject: [FileIdentity: [Link.Place]] = [:]
      for role in roles {
        for index in indices {
          let probe = probes[Int(index)]
          var cookie = probe.attachCookie(probeIndex: Int(index), processSlot: Int(process.slot))
          if role == .returnInstruction { cookie |= Self.atReturn }
          let offsets = fileOffsets(of: probe, role: role)
          if offsets.isEmpty { continue }
          kinds[Int(index)] = kind(role)
          placesByObject[probe.object.identity, default: []] += offsets.map {
            Link.Place(fileOffset: $0, cookie: cookie)
          }
        }
      }
      for (identity, places) in placesByObject where !leftOut.contains(identity) {
        do {
          links += try link(places, role: role, in: objects[identity], identity, of: process)
        } catch let error as LeftOut {
          leftOut.insert(identity)
          let object = indices.lazy.map { self.probes[Int($0)].object }.first { $0.identity == identity }
          let path = object?.path ?? "an object"
          process.failure = "\(path) cannot be probed: \(error.reason)"
          notes.addOnce("\(path) is left out, its allocations are not seen: \(error.reason)")
        }
      }
    }
    // Links are released in the opposite order.
    process.links = links.reversed() + process.links
    let attached = indices.filter { !leftOut.contains(probes[Int($0)].object.identity) }
    process.probes += attached
    if attached.contains(where: { !probes[Int($0)].function.isSystemCall }) { process.hasAllocator = true }
  }

  /// An object that is not probed, because of what its file says; the trace goes on without it.
  private struct LeftOut: Error {
    var reason: String
  }

  /// Checks the places of one object, and attaches to them.
  private func link(
    _ places: [Link.Place], role: Role, in object: ProbedFile?, _ identity: FileIdentity, of process: TracedProcess
  ) throws -> [Link] {
    guard let object else { throw LeftOut(reason: "its file is not open") }
    do { try object.verify(places.map(\.fileOffset)) } catch { throw LeftOut(reason: "\(error)") }
    do throws(BPFError) {
      try clean(places, of: identity, path: object.path)
      return try link(places, role: role, path: object.path, processID: process.processID)
    } catch {
      if error.code != ESRCH, Self.concernsOneFile(error.code) { throw LeftOut(reason: errorMessage(error.code)) }
      throw refusal(error, process)
    }
  }

  /// Whether a refusal of the kernel is about the file or the places in it, rather than about what leaktrace may do and what
  /// the host has left.
  private static func concernsOneFile(_ code: Int32) -> Bool {
    ![EPERM, EACCES, EMFILE, ENFILE, ENOMEM, ENOSPC, E2BIG, EAGAIN, EINTR].contains(code)
  }

  /// Attaches what a parent has to a child that runs the same program.
  func attach(like parent: TracedProcess, to child: TracedProcess) throws {
    for hook in parent.hooks { try watch(hook, of: child) }
    inheritGates(of: parent, by: child)
    let gated = child.gatedProbes
    try attach(parent.probes.filter { !gated.contains($0) }, to: child)
  }

  /// Probes the unwinders of a process that has, or is about to get, return probes on functions which may throw.
  private func watchExceptions(of process: TracedProcess, before found: [AllocatorProbe]) throws {
    guard (found + probes(of: process)).contains(where: { $0.returns == .returnProbeDespiteExceptions }) else { return }
    for hook in process.image.exceptionHooks { try watch(hook, of: process) }
    if !process.hooks.contains(where: { $0.purpose == .exceptions }) { exceptionsMayEndProcesses = true }
  }

  /// Makes a process wait for us where its dynamic loader changes the list of loaded objects, and lets exceptions through where
  /// they are raised.
  private func watch(_ hook: LibraryHook, of process: TracedProcess) throws {
    let identity = hook.object.identity
    guard !process.hooks.contains(hook), let opened = objects[identity] else { return }
    let consequence =
      switch hook.purpose {
      case .loads: "loads in it are not seen at once"
      case .exceptions: "exceptions in it cannot pass return probes"
      }
    opened.choose([hook.fileOffset])
    do { try opened.verify([hook.fileOffset]) } catch {
      notes.addOnce("\(hook.object.path): \(consequence): \(error)")
      return
    }
    let cookie: UInt64 =
      switch (hook.purpose, programs.method) {
      case (.loads, _): 0
      case (.exceptions, .session): UInt64(process.slot) << UInt64(LT_COOKIE_SLOT_SHIFT)
      case (.exceptions, .perf):
        UInt64(process.slot) << UInt64(LT_COOKIE_SLOT_SHIFT) | UInt64(LT_COOKIE_ALWAYS_RETURNS)
      }
    let place = Link.Place(fileOffset: hook.fileOffset, cookie: cookie)
    do throws(BPFError) {
      guard let program = try programs.program(for: hook.purpose) else { return }
      try clean([place], of: identity, path: opened.path)
      process.links += try programs.attach(program, to: [place], path: opened.path, processID: process.processID)
    } catch {
      guard Self.concernsOneFile(error.code), error.code != ESRCH else { throw refusal(error, process) }
      notes.addOnce("\(hook.object.path): \(consequence): \(errorMessage(error.code))")
      return
    }
    process.hooks.append(hook)
  }

  private func refusal(_ error: BPFError, _ process: TracedProcess) -> any Error {
    error.code == ESRCH ? Refusal("process \(process.processID) ended while it was being attached") : error
  }

  /// Makes sure that what another link may leave at some places of a file is taken off when the trace ends in any way. If
  /// leaktrace is killed while it attaches, the kernel may not be able to undo what it has done of that.
  private func clean(_ places: [Link.Place], of identity: FileIdentity, path: String) throws(BPFError) {
    guard programs.method == .session else { return }
    let fresh = places.filter {
      cleanedPlaces.insert(ProbeKey(file: identity, fileOffset: $0.fileOffset)).inserted
    }
    if fresh.isEmpty { return }
    cleaners.append(
      try Link.cleaner(programs.object.program("free_enter"), kind: .entry, path: path, places: fresh))
  }

  /// Where in the probe's file the places of one role are.
  private func fileOffsets(of probe: AllocatorProbe, role: Role) -> [UInt64] {
    switch role {
    case .free: return probe.function.isFree ? [probe.fileOffset + siteOffset(probe)] : []
    case .mapping:
      return probe.function.isSystemCall ? [probe.fileOffset + probe.site.offset] : []
    case .allocation:
      return probe.function.isFree || probe.function.isSystemCall
        ? [] : [probe.fileOffset + siteOffset(probe)]
    case .returnInstruction:
      guard case .returnInstructions(let offsets) = probe.returns else { return [] }
      return offsets
    }
  }

  private func siteOffset(_ probe: AllocatorProbe) -> UInt64 {
    configuration.probesFunctionEntries ? 0 : probe.site.offset
  }

  private func kind(_ role: Role) -> Report.Probe.Kind {
    switch programs.method {
    case .session: role == .free ? .multi : .multiSession
    case .perf: .perf
    }
  }

  private func link(
    _ places: [Link.Place], role: Role, path: String, processID: Int32
  ) throws(BPFError) -> [Link] {
    let program =
      switch (role, programs.method) {
      case (.free, _): "free_enter"
      case (_, .session): "allocate_session"
      case (.returnInstruction, .perf): "allocate_return_site"
      case (.mapping, .perf): "mapping_site"
      case (.allocation, .perf): "allocate_enter"
      }
    let entry = try programs.object.program(program)
    var exits: [Link] = []
    switch programs.method {
    case .session where role != .free:
      return [try Link.uprobes(entry, kind: .session, path: path, places: places, processID: processID)]
    case .perf where role == .allocation:
      // The return probe comes first: an entry probe without it would leave its thread marked as inside the call.
      let exit = try programs.object.program("allocate_exit")
      for place in places where place.cookie & Self.returnsBySite == 0 {
        exits.append(
          try Link.perfUprobe(exit, isReturn: true, path: path, place: place, processID: processID))
      }
    default: break
    }
    return exits + (try programs.attach(entry, to: places, path: path, processID: processID))
  }

  private static let atReturn = UInt64(LT_COOKIE_AT_RETURN) << UInt64(LT_COOKIE_FLAGS_SHIFT)
  private static let returnsBySite =
    UInt64(LT_COOKIE_RETURNS_BY_SITE) << UInt64(LT_COOKIE_FLAGS_SHIFT)

  // MARK: Probes for the report

  /// - Parameter hits: how often a probe was hit, by its index.
  func reportProbes(hits: (UInt32) -> UInt64) -> [Report.Probe] {
    probes.enumerated().map { index, probe in
      Report.Probe(
        function: probe.function.name, object: probe.object.path, offset: siteOffset(probe),
        instruction: probe.site.instruction,
        isEmulated: probe.site.isEmulated && !configuration.probesFunctionEntries,
        kind: kinds[index], hits: hits(UInt32(index)))
    }
  }

  /// Functions of this report's probes that are in use and whose exceptions cannot pass their return probe.
  func functionsThatMayNotThrow(_ reported: [Report.Probe]) -> [String] {
    guard exceptionsMayEndProcesses else { return [] }
    return zip(probes, reported).filter { $0.returns == .returnProbeDespiteExceptions && $1.hits > 0 }.map(
      \.0.function.name)
  }
}
