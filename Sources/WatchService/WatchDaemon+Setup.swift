import AllocationTracing
import Glibc
import History
import HostObservation
import SystemSupport
import Watch
import WatchServer

/// Opens what the configuration asks for, when the watch starts and when the configuration is read again.
extension WatchDaemon {
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
    let wake = wakeDescriptor
    var settings = WatchServer.Settings()
    settings.address = configuration.listen.flatMap(ListenAddress.init).map { ($0.host, $0.port) }
    settings.socket = configuration.socket
    settings.token = try token()
    settings.hostNames = configuration.hostNames
    // Another watch may have the usual socket, or this one may not be allowed to make it. That is no reason not to watch,
    // unless somebody asked for a socket.
    settings.isSocketOptional = settings.socket == WatchConfiguration.usualSocket
    guard settings.address != nil || settings.socket != nil else { return }
    do {
      server = try WatchServer(settings) {
        var one: UInt64 = 1
        write(wake, &one, 8)
      }
    } catch let error as Refusal {
      throw error
    } catch { throw Refusal("--listen \(configuration.listen ?? "off"): \(error)") }
    if let trouble = server?.socketTrouble {
      log.notice("\(trouble): only clients with a token get profiles")
    } else if let socket = settings.socket {
      log.info("the user \(geteuid()) gets everything at \(socket)")
    }
    guard let address = settings.address else { return }
    log.info("listening on http://\(address.host):\(server?.port ?? 0)/metrics")
    if address.host != "127.0.0.1", address.host != "::1", configuration.tokenFile == nil {
      log.warning("others than this host can read the metrics at \(address.host), and no token-file is given")
    }
  }

  /// The first line of a file that holds a token. nil if no such file is configured; throws if it cannot be used.
  static func token(in path: String?, key: String) throws -> String? {
    guard let path else { return nil }
    let line: String?
    do throws(Refusal) {
      line = String(decoding: try TrustedFile.read(path), as: UTF8.self).split(separator: "\n").first.map(String.init)
    } catch { throw Refusal("\(key) \(path): \(error)") }
    guard let line, !line.isEmpty, line.utf8.allSatisfy({ $0 > 0x20 && $0 < 0x7f }) else {
      throw Refusal("\(key) \(path): its first line is no token")
    }
    return line
  }

  private func token() throws -> String? { try Self.token(in: configuration.tokenFile, key: "token-file") }

  /// What `on-alert` runs must not be in the hands of others: it is run as root. Looks at the command's first words and at
  /// every program in it that is named by its path.
  func checkAlertCommand() throws(Refusal) {
    guard let command = configuration.onAlert else { return }
    let words = command.utf8.split(whereSeparator: { " \t\n;|&<>()'\"".utf8.contains($0) })
      .map { String(decoding: $0, as: UTF8.self) }
    for (place, word) in words.enumerated() where word.utf8.contains(UInt8(ascii: "/")) {
      var status = stat()
      guard stat(word, &status) == 0, status.st_mode & S_IFMT == S_IFREG, place < 2 || status.st_mode & 0o111 != 0
      else { continue }
      do throws(Refusal) { try TrustedFile.check(word) } catch { throw Refusal("on-alert \(word): \(error)") }
    }
  }

  // MARK: Reading the configuration again

  func reloadConfiguration() {
    ServiceManager.notify("RELOADING=1\nMONOTONIC_USEC=\(UInt64(clock.monotonicSeconds * 1e6))")
    let old = configuration
    do {
      let new = try reload()
      configuration = new
      // What can fail comes first, before anything that runs is stopped.
      let token = try token()
      try checkAlertCommand()
      _ = try Self.token(in: new.push.tokenFile, key: "push-token-file")
      try openHistory()
      let reloads = WatchOption.reloads(from: old, to: new)
      if reloads.contains(.server) {
        server?.stop()
        server = nil
        try startServer()
      }
      server?.set(token: token, hostNames: new.hostNames)
      try startPushing()
      if reloads.contains(.trends) {
        observer = HostObserver(interval: new.interval, lookback: new.lookback, ownProcessID: getpid())
      }
      budget.share = new.budget
      alerts.every = new.alertEvery
      alerts.growthThreshold = new.growthThreshold
      alerts.forecastThreshold = new.forecastThreshold
      if new.targets != old.targets { expectTargets() }
      log.info("the configuration was read again")
    } catch {
      configuration = old
      log.error("the configuration is not taken over: \(error)")
      goBack(to: old)
    }
    ServiceManager.notify("READY=1")
  }

  /// Opens again what was open before, after a new configuration turned out to be unusable.
  private func goBack(to old: WatchConfiguration) {
    do {
      try openHistory()
      if server == nil { try startServer() }
      server?.set(token: try token(), hostNames: old.hostNames)
    } catch { log.error("going back to the configuration before: \(error)") }
  }
}
