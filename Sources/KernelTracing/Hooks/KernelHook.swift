/// One event of the kernel that is to be seen, and the ways to see it, best first.
package struct KernelHook: Hashable, Sendable {
  /// What it is called in reports.
  package var name: String
  package var source: KernelSource
  package var ways: [Way]
  /// What a trace of the source is without it.
  package var importance: Importance

  package enum Importance: String, Hashable, Sendable {
    /// Nothing of the source is traced; what the kernel tells in /proc is compared from time to time instead.
    case needed
    /// Numbers are incomplete.
    case completes
  }

  package enum Method: String, CaseIterable, Hashable, Sendable {
    case rawTracepoint = "raw tracepoint"
    case kprobe
    case kretprobe
    case polling
  }

  package enum Way: Hashable, Sendable {
    /// Of every tracepoint named, the first must exist; the others are attached where they do.
    case rawTracepoint(program: String, names: [String])
    /// The first of the functions that exists.
    case kprobe(program: String, functions: [String])
    case kretprobe(program: String, functions: [String])
    /// Entry and return together.
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

  /// Hooks that see frees are attached before the others: a block whose free went unseen would look leaked.
  var seesFrees: Bool { name.contains("free") }

  /// Every hook there is, as the programs declare them (`BPF/kernel/hooks.bpf.h`).
  package static let all = declared()
}
