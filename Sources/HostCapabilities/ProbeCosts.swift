import BPFRuntime
import CCapabilities
import CLibBPF
import Glibc
import ProcessImage

/// What a hit of a probe costs on this machine. It is measured on functions of our own, with a BPF program that does
/// nothing.
package struct ProbeCosts: Hashable, Sendable {
  /// Nanoseconds per hit where the kernel emulates the probed instruction.
  package var emulated: Double
  /// Nanoseconds per hit where the kernel single-steps a copy of the probed instruction.
  package var stepped: Double
  /// The way in which the probes were attached.
  package var method: String

  package init(emulated: Double, stepped: Double, method: String) {
    self.emulated = emulated
    self.stepped = stepped
    self.method = method
  }

  private static let calls: UInt32 = 5000
  private static let rounds = 5

  /// Attaches probes to both test functions, by the best way that works, and measures calls of them. nil where no way
  /// works.
  package static func measure() -> ProbeCosts? {
    let ways: [(program: ccapability_program, kind: Link.MultiKind?, name: String)] = [
      (CCAPABILITY_UPROBE_MULTI, .entry, "uprobe.multi"), (CCAPABILITY_UPROBE, nil, "perf uprobe"),
    ]
    for way in ways {
      guard let emulated = cost(of: ccapability_emulated, way.program, way.kind),
        let stepped = cost(of: ccapability_stepped, way.program, way.kind)
      else { continue }
      return ProbeCosts(emulated: emulated, stepped: stepped, method: way.name)
    }
    return nil
  }

  private static func cost(
    of function: @escaping @convention(c) () -> Void, _ program: ccapability_program, _ kind: Link.MultiKind?
  ) -> Double? {
    func least() -> Double {
      (0..<rounds).map { _ in ccapability_nanoseconds_per_call(function, calls) }.min()!
    }
    let untraced = least()
    guard (try? attach(to: function, program: program, kind: kind, { least() })) != nil,
      let traced = try? attach(to: function, program: program, kind: kind, { least() })
    else { return nil }
    return max(0, traced - untraced)
  }

  /// Calls `body` while a BPF program that does nothing is attached to a function of ours. Only calls by this process
  /// hit it.
  static func attach<Result>(
    to function: @escaping @convention(c) () -> Void, program: ccapability_program, kind: Link.MultiKind?,
    _ body: () -> Result
  ) throws -> Result {
    let descriptor = ccapability_load(program)
    guard descriptor >= 0 else { throw BPFError(operation: "load the program", code: -descriptor) }
    defer { close(descriptor) }
    let address = UInt64(UInt(bitPattern: unsafeBitCast(function, to: UnsafeRawPointer.self)))
    guard let mapping = try ProcessMaps.read(processID: getpid()).first(where: { $0.contains(address) }) else {
      throw BPFError(operation: "find our own code", code: ENOENT)
    }
    let offset = address - mapping.start + mapping.fileOffset
    var link: Int32
    var event: Int32 = -1
    if let kind {
      link = clibbpf_link_uprobes(descriptor, kind.attachType, "/proc/self/exe", [offset], [0], 1, 0, UInt32(getpid()))
    } else {
      event = clibbpf_perf_uprobe("/proc/self/exe", offset, getpid(), false)
      guard event >= 0 else { throw BPFError(operation: "open a perf uprobe", code: -event) }
      link = clibbpf_link_perf(descriptor, event, 0)
    }
    defer { if event >= 0 { close(event) } }
    guard link >= 0 else { throw BPFError(operation: "attach the probe", code: -link) }
    defer { close(link) }
    return body()
  }
}
