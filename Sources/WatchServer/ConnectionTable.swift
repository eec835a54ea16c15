import NIOCore
import Synchronization

/// The open connections of one listening socket. When there are too many, or too many from one peer, a new connection takes
/// the place of the one that has been doing nothing for longest: whoever holds connections idle locks out nobody.
final class ConnectionTable: Sendable {
  enum Activity {
    /// Nothing is owed to the client, or it does not take what it is owed.
    case idle
    /// The client waits for a profile.
    case profiling
  }

  private struct Entry {
    var peer: String
    var channel: any Channel
    var activity = Activity.idle
    /// When the activity began.
    var since: NIODeadline
  }

  private struct State {
    var entries: [ObjectIdentifier: Entry] = [:]
    var refused: UInt64 = 0
  }

  private let limits: ServerLimits
  private let state = Mutex(State())

  init(limits: ServerLimits) { self.limits = limits }

  /// Whether the connection may stay. Closes another one for it where that is necessary.
  func admit(_ channel: any Channel) -> Bool {
    let peer = Self.peer(of: channel.remoteAddress)
    let (isAdmitted, victim) = state.withLock { state -> (Bool, (any Channel)?) in
      let ofPeer = state.entries.filter { $0.value.peer == peer }
      var victim: ObjectIdentifier?
      if ofPeer.count >= limits.connectionsPerPeer {
        victim = leastActive(ofPeer)
        if victim == nil { return (false, nil) }
      } else if state.entries.count >= limits.connections {
        victim = leastActive(ofLargestPeer(state.entries)) ?? leastActive(state.entries)
        if victim == nil { return (false, nil) }
      }
      let closed = victim.flatMap { state.entries.removeValue(forKey: $0)?.channel }
      state.entries[ObjectIdentifier(channel)] = Entry(peer: peer, channel: channel, since: .now())
      return (true, closed)
    }
    if let victim { ConnectionGuard.abort(victim) }
    return isAdmitted
  }

  func remove(_ channel: any Channel) {
    _ = state.withLock { $0.entries.removeValue(forKey: ObjectIdentifier(channel)) }
  }

  func note(_ activity: Activity, of channel: any Channel) {
    state.withLock { state in
      state.entries[ObjectIdentifier(channel)]?.activity = activity
      state.entries[ObjectIdentifier(channel)]?.since = .now()
    }
  }

  var count: Int { state.withLock { $0.entries.count } }

  /// The connection that has been idle for longest. A connection that has just come or has just been served is spared
  /// while there is one that has had its time.
  private func leastActive(_ entries: [ObjectIdentifier: Entry]) -> ObjectIdentifier? {
    entries.filter { $0.value.activity == .idle }.min { $0.value.since < $1.value.since }?.key
  }

  private func ofLargestPeer(_ entries: [ObjectIdentifier: Entry]) -> [ObjectIdentifier: Entry] {
    let byPeer = Dictionary(grouping: entries) { $0.value.peer }
    guard let largest = byPeer.values.max(by: { $0.count < $1.count }) else { return [:] }
    return Dictionary(uniqueKeysWithValues: largest.map { ($0.key, $0.value) })
  }

  /// What counts as one peer. A host has all of 127.0.0.0/8, and whoever has an address of IPv6 usually has its /64.
  static func peer(of address: SocketAddress?) -> String {
    guard let bytes = address.flatMap(NumericAddress.init) else { return "" }
    if bytes.isLoopback { return "loopback" }
    return (bytes.isVersion6 ? bytes.bytes.prefix(8) : bytes.bytes[...]).map(String.init).joined(separator: ".")
  }
}
