import AllocationTracing
import Glibc
import HostObservation
import ProcessImage
import Quantities
import Symbolization
import TraceModel

/// Checks what a process allows, before anything is attached to it.
package enum TargetChecks {
  package static func of(_ processID: Int32) -> [CapabilityCheck] {
    let info: ProcessInfo
    do { info = try ProcessInfo(processID: processID) } catch {
      return [CapabilityCheck(.target, "process", .fails, "there is no process \(processID)")]
    }
    if info.isKernelThread {
      return [
        CapabilityCheck(
          .target, "process", .fails, "\(info.command) is a thread of the kernel", remedy: "use leaktrace kernel")
      ]
    }
    var checks = [
      CapabilityCheck(
        .target, "process", .works, "\(processID) (\(info.command)), \(counted(info.threadCount, "thread"))")
    ]
    let profile = TargetProfile(processID: processID)
    if let runtime = profile.runtime {
      checks.append(
        CapabilityCheck(
          .target, "runtime", .works, "\(runtime.name): \(runtime.visibility)"))
    }
    do {
      let mappings = try ProcessMaps.read(processID: processID)
      let executables = Set(mappings.filter { $0.isFileBacked && $0.permissions.contains(.execute) }.map(\.path))
      checks.append(
        CapabilityCheck(
          .target, "mappings", .works,
          "\(groupedNumber(mappings.count)), \(counted(executables.count, "file")) with code"))
      var options = AllocatorDiscovery.Options()
      options.emulation = .runningKernel
      let discovery = AllocatorDiscovery(processID: processID, mappings: mappings, options: options) { mapping in
        guard let file = try? RootedFile.open(mapping: mapping, processID: processID) else { return nil }
        return try? ElfFile(descriptor: file.descriptor, name: mapping.path)
      }
      checks.append(symbols(of: processID, mappings))
      let plan = discovery.plan()
      if plan.probes.isEmpty {
        checks.append(
          CapabilityCheck(
            .target, "allocator", .fails, plan.failure ?? "no allocator was found",
            remedy: "name its functions with --alloc and --free"))
      } else {
        let stepped = plan.probes.filter { !$0.site.isEmulated }.map(\.function.name)
        checks.append(
          CapabilityCheck(
            .target, "allocator", stepped.isEmpty ? .works : .degraded,
            "\(counted(plan.probes.count, "function"))"
              + (stepped.isEmpty
                ? ", all at emulated instructions" : "; single-stepped: " + stepped.joined(separator: ", "))))
      }
    } catch {
      checks.append(
        CapabilityCheck(.target, "mappings", .fails, "cannot be read: \(error)", remedy: "run it with sudo"))
    }
    if info.innermostProcessID != processID {
      checks.append(
        CapabilityCheck(
          .target, "container", .works, "pid \(info.innermostProcessID) inside; files are opened beneath its root"))
    }
    return checks
  }

  /// Whether the functions of the program and of its libraries have names, and which packages have those that are missing.
  private static func symbols(of processID: Int32, _ mappings: [Mapping]) -> CapabilityCheck {
    var seen: Set<String> = []
    var missing: [(path: String, buildID: String?)] = []
    for mapping in mappings where mapping.isFileBacked && mapping.permissions.contains(.execute) {
      guard seen.insert(mapping.path).inserted,
        let opened = try? RootedFile.open(mapping: mapping, processID: processID),
        let file = try? ElfFile(descriptor: opened.descriptor, name: mapping.path),
        !SymbolAdvice.hasSymbols(file, path: mapping.path, processID: processID)
      else { continue }
      missing.append((mapping.path, file.buildID))
    }
    if missing.isEmpty { return CapabilityCheck(.target, "symbols", .works, "all files with code have some") }
    let names = missing.prefix(4).map { $0.path.split(separator: "/").last.map(String.init) ?? $0.path }
    let packages = SymbolAdvice().debugPackages(of: Array(missing.prefix(16)))
    let chosen = missing.compactMap { packages[$0.path] }.reduce(into: [String]()) { list, package in
      if !list.contains(package) { list.append(package) }
    }
    let remedy =
      chosen.isEmpty
      ? missing.first.map { MissingSymbols(module: $0.path, buildID: $0.buildID, frames: 1).advice }
      : "install \(chosen.joined(separator: ", "))"
    return CapabilityCheck(
      .target, "symbols", .degraded,
      "exported names only in \(groupedNumber(missing.count)) of \(counted(seen.count, "file")) with code: "
        + names.joined(separator: ", ") + (missing.count > names.count ? ", …" : ""), remedy: remedy)
  }
}
