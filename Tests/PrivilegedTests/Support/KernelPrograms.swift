import Foundation
import Glibc
import TestTools

/// The BPF programs and links that leaktrace loads, as the kernel lists them.
enum KernelPrograms {
  /// Names of our programs, as far as the kernel keeps them (15 characters).
  private static let ours: Set<String> = [
    "allocate_session", "allocate_enter", "allocate_exit", "allocate_return_site", "free_enter",
    "mapping_site", "on_fork", "on_exec", "on_fork_holding", "on_exec_holding", "on_exit", "hold_loader",
    "loader_changed",
  ]

  /// When this run of the tests began, in seconds since 1970; what was loaded before is none of its affairs.
  static let start = Int(Date().timeIntervalSince1970)

  /// Kernel ids of programs and links.
  struct Identifiers: Equatable {
    var programs: Set<Int> = []
    var links: Set<Int> = []
    var isEmpty: Bool { programs.isEmpty && links.isEmpty }
  }

  /// The programs that a process holds by its descriptors, and all links of them.
  static func held(by processID: Int32) throws -> Identifiers {
    let programs = programs(heldBy: processID)
    let links = try list("link").filter { programs.contains($0["prog_id"] as? Int ?? 0) }
    return Identifiers(programs: programs, links: Set(links.compactMap { $0["id"] as? Int }))
  }

  private static func programs(heldBy processID: Int32) -> Set<Int> {
    var held: Set<Int> = []
    let directory = "/proc/\(processID)/fdinfo"
    for entry in (try? FileManager.default.contentsOfDirectory(atPath: directory)) ?? [] {
      let text = String(decoding: contents(of: "\(directory)/\(entry)"), as: UTF8.self)
      for line in text.split(separator: "\n") {
        let fields = line.split(separator: ":")
        guard fields.count == 2, let id = Int(fields[1].filter(\.isNumber)) else { continue }
        if fields[0] == "prog_id" { held.insert(id) }
      }
    }
    return held
  }

  /// What of these is still in the kernel.
  static func remaining(of ids: Identifiers) throws -> Identifiers {
    let programs = try list("prog").compactMap { $0["id"] as? Int }
    let links = try list("link").compactMap { $0["id"] as? Int }
    return Identifiers(
      programs: ids.programs.intersection(programs), links: ids.links.intersection(links))
  }

  /// Waits, for 20 seconds at most, until nothing of these is left; the kernel cleans up in its own time.
  static func remainingForGood(of ids: Identifiers) throws -> Identifiers {
    try settled {
      try remaining(of: ids)
    } until: {
      $0.isEmpty
    }
  }

  /// Names of our programs that no process holds and that the kernel does not clean up, for which it has 20 seconds. Other
  /// runs of leaktrace may be under way: theirs are held, or go within that time.
  static func orphans() throws -> [String] {
    var left = try unheld()
    _ = try eventually(within: 20) {
      let present = try unheld()
      left = left.filter { present[$0.key] != nil }
      return left.isEmpty
    }
    return left.values.sorted()
  }

  /// Names of our programs that no process holds at the moment, by their ids.
  private static func unheld() throws -> [Int: String] {
    var programs: [Int: String] = [:]
    for program in try list("prog") {
      guard let id = program["id"] as? Int, let name = program["name"] as? String,
        program["loaded_at"] as? Int ?? 0 > start, ours.contains(where: { $0.prefix(15) == name.prefix(15) })
      else { continue }
      programs[id] = name
    }
    if programs.isEmpty { return [:] }
    for entry in try FileManager.default.contentsOfDirectory(atPath: "/proc") {
      guard let processID = Int32(entry) else { continue }
      for id in Self.programs(heldBy: processID) { programs[id] = nil }
    }
    return programs
  }

  private static func settled<Value>(_ value: () throws -> Value, until isDone: (Value) -> Bool) throws
    -> Value
  {
    var found = try value()
    _ = try eventually(within: 20) {
      found = try value()
      return isDone(found)
    }
    return found
  }

  private static func list(_ kind: String) throws -> [[String: Any]] {
    let bpftool = findTool("bpftool") ?? "/usr/sbin/bpftool"
    let output = try run([bpftool, "-j", kind, "show"])
    return try JSONSerialization.jsonObject(with: Data(output.utf8)) as? [[String: Any]] ?? []
  }
}
