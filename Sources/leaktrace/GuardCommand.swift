import ArgumentParser
import Glibc
import Session

/// `leaktrace guard`: prevents a unit that leaks from using up the memory of the host.
struct GuardCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "guard",
    abstract: "Writes a systemd drop-in that bounds a unit's memory and restarts it.",
    discussion: """
      Measures what the unit works with and how it grows, and writes MemoryHigh, MemoryMax and Restart=on-failure to \
      /etc/systemd/system/UNIT.d/50-leaktrace-memory.conf. systemd takes it up at `systemctl daemon-reload`.
      """)

  @Argument(help: "The unit, for example nginx.service.")
  var unit: String

  @Flag(help: "Print the drop-in instead of writing it.")
  var dryRun = false

  @Option(name: .customLong("for"), help: "How long to measure.")
  var duration = "20s"

  @Option(name: .customLong("runway"), help: "How long the unit shall run before it is slowed down.")
  var runway = "24h"

  mutating func validate() throws {
    if !unit.contains(".") { unit += ".service" }
    let isName = unit.utf8.allSatisfy { byte in
      (0x30...0x39).contains(byte) || (0x41...0x5a).contains(byte) || (0x61...0x7a).contains(byte)
        || [0x2d, 0x2e, 0x3a, 0x40, 0x5c, 0x5f].contains(byte)
    }
    guard isName, unit.hasSuffix(".service"), !unit.hasPrefix("."), unit.utf8.count < 250 else {
      throw ValidationError("'\(unit)' is no service: name one, for example nginx.service")
    }
    guard try TimeValue.parse(duration, plainUnit: .seconds(1)) >= .seconds(5) else {
      throw ValidationError("--for \(duration): less than 5 seconds tell no trend")
    }
    _ = try TimeValue.parse(runway, plainUnit: .seconds(1))
  }

  mutating func run() throws {
    let run = MemoryGuardRun(
      unit: unit, duration: try TimeValue.parse(duration, plainUnit: .seconds(1)),
      runway: try TimeValue.parse(runway, plainUnit: .seconds(1)))
    let dropIn = try run.measure()
    if dryRun {
      try printAll(Array("# \(dropIn.path)\n\(dropIn.text)".utf8))
      return
    }
    try MemoryGuardRun.install(dropIn)
    try printAll(Array("written: \(dropIn.path)\nnow run: sudo systemctl daemon-reload\n".utf8))
  }
}
