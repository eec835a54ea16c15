import BPFRuntime
import CTraceABI
import Glibc
import ProcessImage
import SystemSupport
import TraceModel

extension AllocationTracer {
  func index(of probe: AllocatorProbe) -> UInt32 {
    let key = ProbeKey(file: probe.object.identity, fileOffset: probe.fileOffset)
    if let known = probeIndex[key] { return known }
    let index = UInt32(probes.count)
    probes.append(probe)
    probeKinds.append(.perf)
    probeIndex[key] = index
    return index
  }

  /// Which program a place gets.
  enum Role { case free, mapping, allocation, returnInstruction }

  /// Attaches places in one process: what frees before what allocates, so that no recorded block's free is missed,
  /// and what sees a return before what expects it.
  func attach(_ indices: [UInt32], to process: TracedProcess) throws {
    guard probes.count <= Int(LT_MAX_PROBES) else {
      throw TraceError("more than \(LT_MAX_PROBES) allocator functions cannot be probed at once")
    }
    var links: [Link] = []
    for role in [Role.free, .mapping, .returnInstruction, .allocation] {
      var placesByObject: [FileIdentity: [Link.Place]] = [:]
      for index in indices {
        let probe = probes[Int(index)]
        let identity = probe.object.identity
        var cookie = probe.attachCookie(probeIndex: Int(index), processSlot: Int(process.slot))
        if role == .returnInstruction { cookie |= Self.atReturn }
        let offsets = fileOffsets(of: probe, role: role)
        if offsets.isEmpty { continue }
        probeKinds[Int(index)] = kind(role)
        objects[identity] = try objects[identity] ?? OpenObject(probe.object)
        placesByObject[identity, default: []] += offsets.map {
          Link.Place(fileOffset: $0, cookie: cookie)
        }
      }
      for (identity, places) in placesByObject {
        guard let object = objects[identity] else { continue }
        object.readIntoPageCache(places.map(\.fileOffset))
        do {
          links += try link(places, role: role, path: object.path, processID: process.processID)
        } catch {
          if error.code == ESRCH {
            throw TraceError("process \(process.processID) ended while it was being attached")
          }
          throw error
        }
      }
    }
    // Taken off in the opposite order.
    process.links = links.reversed() + process.links
    process.probes += indices
    noteCode(of: process)
    if indices.contains(where: { !probes[Int($0)].function.isSystemCall }) { process.hasAllocator = true }
  }

  func isLoader(_ mapping: Mapping) -> Bool {
    (mapping.path.split(separator: "/").last ?? "").hasPrefix("ld-linux")
  }

  /// Notes where the code of the process's loader and allocators lies: what they map is not the program's own.
  func noteCode(of process: TracedProcess) {
    process.allocatorCode = []
    process.allocatorLibraries = []
    process.loaderCode = []
    process.ownershipOfSite = [:]
    process.threadCode = nil
    process.threadStackSites = [:]
    let probed = process.probes.map { probes[Int($0)] }.filter { !$0.function.isSystemCall }
    for mapping in process.mappings where mapping.isFileBacked && mapping.permissions.contains(.execute) {
      let identity = mapping.file
      let name = mapping.path.split(separator: "/").last ?? ""
      if isLoader(mapping) { process.loaderCode.append(mapping.start..<mapping.end) }
      let here = probed.filter { $0.object.identity == identity }
      if !name.hasPrefix("libc.") && !name.hasPrefix("libc-"), mapping.path != process.executable,
        name.hasPrefix("lib"), here.contains(where: { $0.function.name == "malloc" })
      {
        process.allocatorLibraries.append(mapping.start..<mapping.end)
      }
      for probe in here
      where probe.fileOffset >= mapping.fileOffset
        && probe.fileOffset - mapping.fileOffset < mapping.end - mapping.start
      {
        let start = mapping.start + (probe.fileOffset - mapping.fileOffset)
        // A return address can be the first byte after a call at the function's end.
        process.allocatorCode.append(start..<(start + max(probe.size, 1) + 1))
      }
    }
  }

  /// Makes processes wait for us where the object's code forks or changes the list of loaded objects.
  ///
  /// On every process that runs this code, because children are to be caught before they have probes of their own;
  /// those that are not traced pass at the cost of one trap per fork or load. A program that reads its own code, as
  /// valgrind does with what it runs, meets a breakpoint there; so only the traced process is probed when children
  /// are not followed.
  func hold(at calls: SystemCallProbes, in object: ProbedObject, of process: TracedProcess) throws {
    let identity = object.identity
    guard holdLinks[identity] == nil else { return }
    var places: [(program: String, offset: UInt64)] = []
    if configuration.followsForks, programs.method == .session, let offset = calls.forkReturn {
      places.append(("hold_child", offset))
    }
    if let offset = calls.loaderHook {
      places.append((programs.method == .session ? "hold_loader" : "loader_changed", offset))
    }
    var links: [Link] = []
    for place in places {
      let opened = try objects[identity] ?? OpenObject(object)
      objects[identity] = opened
      opened.readIntoPageCache([place.offset])
      let program = try programs.lifecycle.program(place.program)
      let target = Link.Place(fileOffset: place.offset, cookie: 0)
      switch programs.method {
      case .session:
        links.append(
          try Link.uprobes(
            program, kind: .entry, path: opened.path, places: [target],
            processID: configuration.followsForks ? 0 : process.processID))
      case .perf:
        links.append(
          try Link.perfUprobe(
            program, isReturn: false, path: opened.path, place: target,
            processID: process.processID))
      }
    }
    if programs.method == .session, configuration.followsForks {
      holdLinks[identity] = links
    } else {
      process.links += links
    }
  }

  /// Where in the probe's file the places of one role are.
  func fileOffsets(of probe: AllocatorProbe, role: Role) -> [UInt64] {
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

  func siteOffset(_ probe: AllocatorProbe) -> UInt64 {
    configuration.probesFunctionEntries ? 0 : probe.site.offset
  }

  func kind(_ role: Role) -> Report.Probe.Kind {
    switch programs.method {
    case .session: role == .free ? .multi : .multiSession
    case .perf: .perf
    }
  }

  func link(
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
    switch programs.method {
    case .session:
      return [
        try Link.uprobes(
          programs.object.program(program), kind: role == .free ? .entry : .session,
          path: path, places: places, processID: processID)
      ]
    case .perf:
      var links: [Link] = []
      // The return first: an entry without it would leave its thread marked as inside the call.
      if role == .allocation {
        let exit = try programs.object.program("allocate_exit")
        for place in places where place.cookie & Self.returnsBySite == 0 {
          links.append(
            try Link.perfUprobe(
              exit, isReturn: true, path: path, place: place, processID: processID))
        }
      }
      let entry = try programs.object.program(program)
      for place in places {
        links.append(
          try Link.perfUprobe(
            entry, isReturn: false, path: path, place: place, processID: processID))
      }
      return links
    }
  }

  static let atReturn = UInt64(LT_COOKIE_AT_RETURN) << UInt64(LT_COOKIE_FLAGS_SHIFT)
  static let returnsBySite =
    UInt64(LT_COOKIE_RETURNS_BY_SITE) << UInt64(LT_COOKIE_FLAGS_SHIFT)

  // MARK: Probes for the report

  package func reportProbes() -> [Report.Probe] {
    probes.enumerated().map { index, probe in
      Report.Probe(
        function: probe.function.name, object: probe.object.path, offset: siteOffset(probe),
        instruction: probe.site.instruction,
        isEmulated: probe.site.isEmulated && !configuration.probesFunctionEntries,
        kind: probeKinds[index], hits: tables.hits(ofProbe: UInt32(index)))
    }
  }
}
