/// One event of the kernel that a trace is to see, and the ways to see it, the best first.
package struct KernelHook: Hashable, Sendable {
  /// What it is called in reports.
  package var name: String
  package var source: KernelSource
  package var ways: [Way]
  /// What a trace of the source lacks without this hook.
  package var importance: Importance

  package enum Importance: String, Hashable, Sendable {
    /// Without it nothing of the source is traced; what the kernel tells in /proc is compared from time to time instead.
    case needed
    /// Without it numbers are incomplete.
    case completes
  }

  package enum Method: String, CaseIterable, Hashable, Sendable {
    case rawTracepoint = "raw tracepoint"
    case kprobe
    case kretprobe
    case polling
  }

  package enum Way: Hashable, Sendable {
    /// The first of these tracepoints must exist; the others are attached where they exist.
    case rawTracepoint(program: String, names: [String])
    /// The first of the functions that exists.
    case kprobe(program: String, functions: [String])
    case kretprobe(program: String, functions: [String])
    /// Entry and return of the first of the functions that exists, attached together.
    case kprobePair(entry: String, return: String, functions: [String])

    var programs: [String] {
      switch self {
      case .rawTracepoint(let program, _), .kprobe(let program, _), .kretprobe(let program, _): [program]
      case .kprobePair(let entry, let exit, _): [entry, exit]
      }
    }

    var method: Method {
      switch self {
      case .rawTracepoint: .rawTracepoint
      case .kprobe, .kprobePair: .kprobe
      case .kretprobe: .kretprobe
      }
    }
  }

  /// Whether the hook sees frees. Such hooks are attached before the others: a block whose free went unseen would look
  /// leaked.
  var seesFrees: Bool { name.contains("free") }

  /// Every hook there is, as the programs declare them (`BPF/kernel/hooks.bpf.h`).
  package static let all = declared()
}
