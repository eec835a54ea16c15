import BPFRuntime
import Gate

/// A gate and its probes. The process for which it was made and its children have it in common.
final class TracedGate {
  let installed: InstalledGate
  /// Indices of the places that it stands for.
  let probes: Set<UInt32>
  private var links: [Link]
  /// Takes off what the end of a link may leave behind; released after the links.
  private var cleaner: Link?

  init(installed: InstalledGate, probes: Set<UInt32>, links: [Link], cleaner: Link?) {
    self.installed = installed
    self.probes = probes
    self.links = links
    self.cleaner = cleaner
  }

  deinit {
    links = []
    cleaner = nil
  }

  /// The addresses of its code.
  var code: Range<UInt64> {
    let start = installed.plan.layout.start
    return start..<start &+ GateLayout.codeBytes
  }
}

extension TracedProcess {
  /// Indices of the places that gates stand for.
  var gatedProbes: Set<UInt32> { gates.reduce(into: []) { $0.formUnion($1.probes) } }

  /// Notes that it runs another program, in which there are no gates.
  func leaveGates() {
    guard !gates.isEmpty else { return }
    let gone = gatedProbes
    probes.removeAll { gone.contains($0) }
    gates = []
  }
}
