import CLibBPF
import Glibc
import Synchronization

/// An attached probe. It is taken off soon after the value is released, or by the kernel when the process ends in any way.
package final class Link {
  private enum Holding {
    /// By descriptors of this process.
    case descriptors([Int32])
    /// By the file system of ``clibbpf_keep``, under a number; and the kernel's own number of the link.
    case kept(UInt64, id: UInt32)
  }

  private let holding: Holding

  private init(descriptors: [Int32]) { holding = .descriptors(descriptors) }

  /// A link of uprobes. Its breakpoints stay in the probed processes when its end fails, so its end is left to the kernel.
  private init(uprobes descriptor: Int32) {
    let id = clibbpf_link_id(descriptor)
    let number = clibbpf_keep(descriptor)
    holding = number == 0 ? .descriptors([descriptor]) : .kept(number, id: id)
  }

  deinit {
    switch holding {
    case .descriptors(let descriptors):
      for descriptor in descriptors { clibbpf_close_in_background(descriptor) }
    case .kept(let number, let id):
      clibbpf_let_go(number)
      EndingLinks.shared.add(id)
    }
  }

  /// Waits until every link released so far is off, or is being taken off by the kernel, but for a second at most.
  package static func finishDetaching() {
    let begin = ContinuousClock.now
    while EndingLinks.shared.areLeft, ContinuousClock.now - begin < .seconds(1) { usleep(5_000) }
    let passed = ContinuousClock.now - begin
    _ = clibbpf_finish_closing(UInt32(max(0, (.seconds(1) - passed) / .milliseconds(1))))
  }

  /// One place of an object file and the word that its program is given there.
  package struct Place {
    /// Offset in the file of the probed instruction.
    package var fileOffset: UInt64
    package var cookie: UInt64
    package init(fileOffset: UInt64, cookie: UInt64) {
      self.fileOffset = fileOffset
      self.cookie = cookie
    }
  }

  package enum MultiKind {
    case entry, session

    /// The attach type the program must have been loaded with.
    package var attachType: UInt32 {
      switch self {
      case .entry: UInt32(CLIBBPF_TRACE_UPROBE_MULTI)
      case .session: UInt32(CLIBBPF_TRACE_UPROBE_SESSION)
      }
    }
  }

  /// Attaches to many places of one file with one system call (Linux 6.6; sessions 6.13). `processID` 0 means every process.
  package static func uprobes(
    _ program: BPFProgram, kind: MultiKind, path: String, places: [Place], processID: Int32
  ) throws(BPFError) -> Link {
    let result = clibbpf_link_uprobes(
      program.descriptor, kind.attachType, path, places.map(\.fileOffset), places.map(\.cookie),
      UInt32(places.count), 0, UInt32(max(0, processID)))
    guard result >= 0 else {
      throw BPFError(operation: "attach \(program.name) to \(path)", code: -result)
    }
    return Link(uprobes: result)
  }

  /// A link to places of a file that probes nothing. When it ends, the kernel takes off whatever another link's end has left
  /// at these places: see ``clibbpf_link_uprobes_nowhere``.
  package static func cleaner(
    _ program: BPFProgram, kind: MultiKind, path: String, places: [Place]
  ) throws(BPFError) -> Link {
    let result = clibbpf_link_uprobes_nowhere(
      program.descriptor, kind.attachType, path, places.map(\.fileOffset), places.map(\.cookie), UInt32(places.count))
    guard result >= 0 else {
      throw BPFError(operation: "attach \(program.name) to \(path)", code: -result)
    }
    return Link(uprobes: result)
  }

  /// Attaches to one place through a perf event: kernels without multi links. `processID` −1 means every process.
  package static func perfUprobe(
    _ program: BPFProgram, isReturn: Bool, path: String, place: Place, processID: Int32
  ) throws(BPFError) -> Link {
    let event = clibbpf_perf_uprobe(path, place.fileOffset, processID, isReturn)
    guard event >= 0 else {
      throw BPFError(operation: "open perf uprobe on \(path)", code: -event)
    }
    let link = clibbpf_link_perf(program.descriptor, event, place.cookie)
    guard link >= 0 else {
      close(event)
      throw BPFError(operation: "attach \(program.name) to \(path)", code: -link)
    }
    return Link(descriptors: [link, event])
  }

  /// Attaches to the entry or the return of a kernel function.
  package static func kprobe(
    _ program: BPFProgram, function: String, isReturn: Bool
  ) throws(BPFError) -> Link {
    let event = clibbpf_perf_kprobe(function, isReturn)
    guard event >= 0 else {
      throw BPFError(operation: "open kprobe on \(function)", code: -event)
    }
    let link = clibbpf_link_perf(program.descriptor, event, 0)
    guard link >= 0 else {
      close(event)
      throw BPFError(operation: "attach \(program.name) to \(function)", code: -link)
    }
    return Link(descriptors: [link, event])
  }

  /// Attaches to a raw tracepoint; needs no tracefs.
  ///
  /// - Parameter name: nil when the program was loaded for one tracepoint.
  package static func rawTracepoint(_ program: BPFProgram, name: String?) throws(BPFError) -> Link {
    let result = bpf_raw_tracepoint_open(name, program.descriptor)
    guard result >= 0 else {
      throw BPFError(operation: "attach \(program.name) to tracepoint \(name ?? "of its own")", code: -result)
    }
    return Link(descriptors: [result])
  }
}

/// The links that were released and that the kernel may not have begun to take off.
private final class EndingLinks: Sendable {
  static let shared = EndingLinks()
  private let ids = Mutex<[UInt32]>([])

  func add(_ id: UInt32) {
    ids.withLock { ids in
      if ids.count > 4096 { ids.removeAll { !clibbpf_link_exists($0) } }
      ids.append(id)
    }
  }

  var areLeft: Bool {
    ids.withLock { ids in
      ids.removeAll { !clibbpf_link_exists($0) }
      return !ids.isEmpty
    }
  }
}
