import Quantities

/// A systemd drop-in that keeps a leak from taking the host down until it is fixed: the unit is slowed down above what it
/// needs, ended above that, and started again.
package struct MemoryGuard: Hashable, Sendable {
  package var unit: String
  /// Bytes that the unit works with now.
  package var workingSet: UInt64
  /// Bytes per second by which it grows; 0 where it does not.
  package var growth: Double
  /// The host's memory.
  package var hostBytes: UInt64
  /// How many seconds it is meant to run before it is slowed down.
  package var secondsWanted: Double

  package init(unit: String, workingSet: UInt64, growth: Double, hostBytes: UInt64, secondsWanted: Double = 24 * 3600) {
    self.unit = unit
    self.workingSet = workingSet
    self.growth = growth
    self.hostBytes = hostBytes
    self.secondsWanted = secondsWanted
  }

  private static let page: UInt64 = 1 << 20
  /// How much more than its working set a unit that does not grow may take.
  private static let headroom = 1.25

  /// Above this the unit is slowed down and its memory reclaimed: its working set with room, or what it will have grown to in
  /// the time wanted, whichever is more; at most three quarters of the host.
  package var highBytes: UInt64 {
    let wanted = max(
      Double(workingSet) * Self.headroom, Double(workingSet) + max(0, growth) * secondsWanted, Double(16 << 20))
    let most = Double(hostBytes) * 0.75
    return Self.rounded(UInt64(min(wanted, max(most, Double(workingSet) * 1.05))))
  }

  /// Above this it is ended: a fifth more, so that being slowed down shows first.
  package var maxBytes: UInt64 { Self.rounded(highBytes + highBytes / 5) }

  /// Seconds from now until the unit is slowed down; nil where it does not grow.
  package var secondsToHigh: Double? {
    growth > 0 ? Double(highBytes - min(highBytes, workingSet)) / growth : nil
  }

  private static func rounded(_ bytes: UInt64) -> UInt64 { (bytes + page - 1) / page * page }

  /// Where systemd looks for what is added to the unit.
  package var directory: String { "/etc/systemd/system/\(unit).d" }
  package var path: String { "\(directory)/50-leaktrace-memory.conf" }

  package var text: String {
    let forecast =
      growth > 0
      ? "grows by \(ByteRate(bytesPerSecond: growth).text(per: .hour))" : "does not grow measurably"
    return """
      # Written by leaktrace guard: \(unit) works with \(workingSet >> 20) MiB and \(forecast).
      # Remove this file and run `systemctl daemon-reload` once the leak is fixed.
      [Service]
      MemoryAccounting=yes
      MemoryHigh=\(highBytes >> 20)M
      MemoryMax=\(maxBytes >> 20)M
      Restart=on-failure
      RestartSec=1

      """
  }
}
