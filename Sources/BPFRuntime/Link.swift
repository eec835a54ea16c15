import CLibBPF
import Glibc

/// An attached probe. It is taken off soon after the value is released, or by the kernel when the process ends in any way.
package final class Link {
  private let descriptors: [Int32]

  private init(descriptors: [Int32]) { self.descriptors = descriptors }

  deinit { for descriptor in descriptors { clibbpf_close_in_background(descriptor) } }

  /// Waits until every link released so far is off.
  package static func finishDetaching() { clibbpf_finish_closing() }

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
    return Link(descriptors: [result])
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
  package static func rawTracepoint(_ program: BPFProgram, name: String) throws(BPFError) -> Link {
    let result = bpf_raw_tracepoint_open(name, program.descriptor)
    guard result >= 0 else {
      throw BPFError(operation: "attach \(program.name) to tracepoint \(name)", code: -result)
    }
    return Link(descriptors: [result])
  }
}
