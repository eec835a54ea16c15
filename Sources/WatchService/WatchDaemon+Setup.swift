import AllocationTracing
import Glibc
import History
import HostObservation
import SystemSupport
import Watch
import WatchServer

/// Opens what the configuration asks for, when the watch starts and when the configuration is read again.
extension WatchDaemon {
  /// The text of a file of at most 1 MiB. nil if it cannot be read; errno then says why.
  package static func text(of path: String) -> String? {
    let descriptor = open(path, O_RDONLY | O_CLOEXEC)
    guard descriptor >= 0 else { return nil }
    defer { close(descriptor) }
    var bytes = [UInt8](repeating: 0, count: 1 << 20)
    let count = read(descriptor, &bytes, bytes.count)
    if count == bytes.count { errno = EFBIG }
    return count < 0 || count == bytes.count ? nil : String(decoding: bytes[..<count], as: UTF8.self)
  }

  func openHistory() throws {
    guard let path = configuration.history else {
      history = nil
      return
    }
    let limits = HistoryStore.Limits(size: configuration.historySize, retention: configuration.retention)
    if history?.path == path {
      history?.limits = limits
      return
    }
    do { history = try HistoryStore(path: path, limits: limits) } catch { throw Refusal("history \(error)") }
  }

  func startServer() throws {
    guard let listen = configuration.listen, let address = ListenAddress(listen) else { return }
    let wake = wakeDescriptor
    do {
      server = try WatchServer(host: address.host, port: address.port, token: try token()) {
        var one: UInt64 = 1
        write(wake, &one, 8)
      }
    } catch let error as Refusal {
      throw error
    } catch {
      throw Refusal("--listen \(listen): \(error)")
    }
    log.info("listening on http://\(address.host):\(server?.port ?? 0)/metrics")
    if address.host != "127.0.0.1", address.host != "::1", configuration.tokenFile == nil {
      log.warning("others than this host can reach \(listen), and no token-file is given")
    }
  }

  /// The first line of a file that holds a token. nil if no such file is configured; throws if it cannot be used.
  static func token(in path: String?, key: String) throws -> String? {
    guard let path else { return nil }
    let line = text(of: path)?.split(separator: "\n").first.map(String.init)
    guard let line, !line.isEmpty, line.utf8.allSatisfy({ $0 > 0x20 && $0 < 0x7f }) else {
      throw Refusal("\(key) \(path): it cannot be read, or its first line is no token")
    }
    return line
  }

  private func token() throws -> String? { try Self.token(in: configuration.tokenFile, key: "token-file") }

  // MARK: Reading the configuration again

  func reloadConfiguration() {
    ServiceManager.notify("RELOADING=1\nMONOTONIC_USEC=\(UInt64(clock.monotonicSeconds * 1e6))")
    let old = configuration
    do {
      let new = try reload()
      configuration = new
      // What can fail comes first, before anything that runs is stopped.
      let token = try token()
      _ = try Self.token(in: new.push.tokenFile, key: "push-token-file")
      try openHistory()
      let reloads = WatchOption.reloads(from: old, to: new)
      if reloads.contains(.server) {
        server?.stop()
        server = nil
        try startServer()
      }
      server?.setToken(token)
      try startPushing()
      if reloads.contains(.trends) {
        observer = HostObserver(interval: new.interval, lookback: new.lookback, ownProcessID: getpid())
      }
      budget.share = new.budget
      alerts.every = new.alertEvery
      alerts.growthThreshold = new.growthThreshold
      alerts.forecastThreshold = new.forecastThreshold
      log.info("the configuration was read again")
    } catch {
      configuration = old
      log.error("the configuration is not taken over: \(error)")
      goBack()
    }
    ServiceManager.notify("READY=1")
  }

  /// Opens again what was open before, after a new configuration turned out to be unusable.
  private func goBack() {
    do {
      try openHistory()
      if server == nil { try startServer() }
      server?.setToken(try token())
    } catch { log.error("going back to the configuration before: \(error)") }
  }
}
