import AllocationTracing
import BPFRuntime
import Glibc
import Symbolization
import SystemSupport
import TraceModel

extension AllocationTracer {
  /// Makes a tracer whose call stacks are named by a symbolizer. If the kernel refuses, it throws an error that is
  /// meant for the user.
  package static func make(
    configuration: TraceConfiguration, discovery: AllocatorDiscovery.Options, symbolizer: Symbolizer
  ) throws -> AllocationTracer {
    do {
      return try AllocationTracer(
        configuration: configuration, discovery: discovery, naming: SymbolizedNaming(symbolizer))
    } catch {
      throw Refusal(explain(error))
    }
  }

  private static func explain(_ error: BPFError) -> String {
    if error.code == EPERM || error.code == EACCES, geteuid() != 0 {
      return "tracing needs root: run it with sudo (or grant CAP_BPF, CAP_PERFMON and CAP_SYS_PTRACE)"
    }
    if error.code == EPERM {
      return "the kernel refuses BPF programs although this is root (a container, or kernel lockdown?): \(error)"
    }
    return "\(error)"
  }
}
