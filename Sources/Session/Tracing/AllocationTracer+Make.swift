import AllocationTracing
import BPFRuntime
import Glibc
import Symbolization
import TraceModel

extension AllocationTracer {
  /// A tracer whose stacks a symbolizer names. Throws what to tell the user where the kernel refuses.
  package static func make(
    configuration: TraceConfiguration, discovery: AllocatorDiscovery.Options, symbolizer: Symbolizer
  ) throws -> AllocationTracer {
    let tracer: AllocationTracer
    do {
      tracer = try AllocationTracer(configuration: configuration, discovery: discovery)
    } catch {
      throw TraceError(explain(error))
    }
    tracer.onMappings = { process in
      symbolizer.record(
        processID: process.processID, threadID: process.threadID, generation: process.imageNumber,
        snapshot: process.mappingState.snapshot, epoch: process.mappingState.epoch)
    }
    tracer.symbolize = { stack, code in
      symbolizer.frames(
        for: stack, processID: code.processID, generation: code.imageNumber, epoch: code.epoch,
        leafIsExact: false)
    }
    tracer.codeIdentities = { stack, code in
      symbolizer.codeIdentities(
        of: stack, processID: code.processID, generation: code.imageNumber, epoch: code.epoch)
    }
    return tracer
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
