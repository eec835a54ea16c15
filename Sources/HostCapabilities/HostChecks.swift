import Accounting
import AllocationTracing
import BPFRuntime
import CCapabilities
import CLibBPF
import Glibc
import HostObservation
import KernelTracing
import ProcessImage
import Quantities
import SystemSupport
import TraceModel

/// Tries everything that leaktrace needs from a host.
package enum HostChecks {
  package static func all() -> [CapabilityCheck] {
    rights() + kernel() + programs() + userProbes() + kernelProbes() + host() + symbols()
  }

  static func text(_ path: String) -> String? {
    guard let bytes = try? readFile(path, limit: 1 << 20) else { return nil }
    var text = String(decoding: bytes, as: UTF8.self)
    while text.last == "\n" { text.removeLast() }
    return text
  }

  /// Makes a check from the result of an attempt, which is 0 or −errno.
  private static func tried(
    _ area: CapabilityCheck.Area, _ name: String, _ code: Int32, works: String,
    otherwise: CapabilityCheck.Status = .degraded, means: String, remedy: String? = nil
  ) -> CapabilityCheck {
    if code >= 0 { return CapabilityCheck(area, name, .works, works) }
    return CapabilityCheck(area, name, otherwise, "\(errorMessage(-code)); \(means)", remedy: remedy)
  }

  /// Tries to load a program. Returns 0 or −errno, and closes the program's descriptor.
  private static func loads(_ program: ccapability_program) -> Int32 {
    let descriptor = ccapability_load(program)
    if descriptor >= 0 { close(descriptor) }
    return min(descriptor, 0)
  }

  // MARK: Rights

  /// The numbers of the capabilities, from linux/capability.h.
  private static let capabilities: [(bit: UInt64, name: String, need: String)] = [
    (39, "CAP_BPF", "loading programs"), (38, "CAP_PERFMON", "probes and reading the stacks of others"),
    (19, "CAP_SYS_PTRACE", "reading the memory and the files of other processes"),
    (21, "CAP_SYS_ADMIN", "perf probes before Linux 6.13, and map_files"),
    (34, "CAP_SYSLOG", "kernel addresses"), (2, "CAP_DAC_READ_SEARCH", "files of other users"),
  ]

  private static func rights() -> [CapabilityCheck] {
    var held: UInt64 = 0
    for line in (text("/proc/self/status") ?? "").split(separator: "\n") where line.hasPrefix("CapEff:") {
      held = UInt64(line.dropFirst(7).drop { $0 == "\t" || $0 == " " }, radix: 16) ?? 0
    }
    let missing = capabilities.filter { held >> $0.bit & 1 == 0 }
    var checks: [CapabilityCheck] = []
    if missing.isEmpty {
      checks.append(CapabilityCheck(.rights, "capabilities", .works, "all that are of use"))
    } else {
      let needed = missing.contains { [39, 38, 19].contains($0.bit) }
      checks.append(
        CapabilityCheck(
          .rights, "capabilities", needed && held >> 21 & 1 == 0 ? .fails : .degraded,
          "missing: " + missing.map { "\($0.name) (\($0.need))" }.joined(separator: ", "),
          remedy: "run it with sudo, or grant them to the service"))
    }
    checks.append(
      tried(
        .rights, "ptrace", ccapability_ptrace(), works: "a child of ours was stopped",
        means: "leak checks cannot stop a process: use --no-pause",
        remedy: "see kernel.yama.ptrace_scope and the container's seccomp profile"))
    checks.append(processFiles())
    return checks
  }

  /// Counts the processes whose mappings can be read. A sandbox may hide some of them, so it is enough if half of them
  /// can be read.
  private static func processFiles() -> CapabilityCheck {
    let processIDs = ProcessInfo.allProcessIDs().filter { processID in
      guard processID != getpid(), let info = try? ProcessInfo(processID: processID) else { return false }
      return !info.isKernelThread && !info.hasEnded
    }
    let readable = processIDs.filter { (try? OpenFile(path: "/proc/\($0)/maps")) != nil }.count
    let detail =
      "the mappings of \(groupedNumber(readable)) of \(counted(processIDs.count, "process", "processes")) can be read"
    if readable * 2 >= processIDs.count { return CapabilityCheck(.rights, "/proc of others", .works, detail) }
    return CapabilityCheck(
      .rights, "/proc of others", .degraded, detail,
      remedy: "run it with sudo, and see whether /proc is mounted with hidepid")
  }

  // MARK: Kernel

  private static func kernel() -> [CapabilityCheck] {
    var checks: [CapabilityCheck] = []
    let release = text("/proc/sys/kernel/osrelease") ?? "?"
    checks.append(versionCheck(release: release))
    let hasBTF = access("/sys/kernel/btf/vmlinux", R_OK) == 0
    checks.append(
      hasBTF
        ? CapabilityCheck(.kernel, "BTF", .works, "/sys/kernel/btf/vmlinux")
        : CapabilityCheck(
          .kernel, "BTF", .fails, "/sys/kernel/btf/vmlinux cannot be read: programs cannot be fitted to this kernel",
          remedy: "a kernel built with CONFIG_DEBUG_INFO_BTF"))
    if let lockdown = text("/sys/kernel/security/lockdown") {
      let isConfidential = lockdown.contains("[confidentiality]")
      checks.append(
        CapabilityCheck(
          .kernel, "lockdown", isConfidential ? .fails : .works, lockdown,
          remedy: isConfidential ? "boot without lockdown=confidentiality: it forbids reading kernel memory" : nil))
    } else {
      checks.append(CapabilityCheck(.kernel, "lockdown", .works, "not built in, or securityfs is not mounted"))
    }
    let jit = text("/proc/sys/net/core/bpf_jit_enable")
    checks.append(
      jit == "0"
        ? CapabilityCheck(
          .kernel, "BPF compiler", .degraded, "off: programs are interpreted, many times slower",
          remedy: "sysctl net.core.bpf_jit_enable=1")
        : CapabilityCheck(.kernel, "BPF compiler", .works, "bpf_jit_enable is \(jit ?? "fixed by the kernel")"))
    return checks
  }

  /// Tells what a kernel of this release can do at best.
  static func versionCheck(release: String) -> CapabilityCheck {
    guard let version = KernelVersion(release: release) else {
      return CapabilityCheck(.kernel, "version", .works, "Linux \(release), which is tried below")
    }
    if version < .minimum {
      return CapabilityCheck(
        .kernel, "version", .fails,
        "Linux \(release): BPF programs need \(KernelVersion.minimum) to keep a table of blocks",
        remedy: "Linux \(KernelVersion.minimumForStacks) or later")
    }
    if version < .minimumForStacks {
      return CapabilityCheck(
        .kernel, "version", .degraded,
        "Linux \(release): stacks need \(KernelVersion.minimumForStacks) to be walked without frame pointers",
        remedy: "Linux \(KernelVersion.minimumForStacks) or later")
    }
    return CapabilityCheck(.kernel, "version", .works, "Linux \(release)")
  }

  // MARK: Programs

  private static func programs() -> [CapabilityCheck] {
    var checks = [
      tried(
        .programs, "load", loads(CCAPABILITY_UPROBE), works: "a program was loaded", otherwise: .fails,
        means: "nothing can be traced", remedy: "run it with sudo; in a container grant CAP_BPF and CAP_PERFMON"),
      tried(
        .programs, "ring buffer", ccapability_ring_buffer(), works: "made", otherwise: .fails,
        means: "events cannot be taken over", remedy: "Linux 5.8 or later"),
      tried(
        .programs, "mappable array", ccapability_mappable_array(), works: "made", otherwise: .fails,
        means: "tables cannot be shared", remedy: "Linux 5.5 or later"),
    ]
    checks.append(
      tried(
        .programs, "task iterator", ccapability_run_task_iterator(), works: "ran over this task",
        means: "changed mappings are not seen between two events", remedy: "Linux 6.1 or later with BTF"))
    checks.append(
      clibbpf_has_helper(UInt32(BPF_FUNC_loop.rawValue))
        ? CapabilityCheck(.programs, "bpf_loop", .works, "known")
        : CapabilityCheck(
          .programs, "bpf_loop", .degraded, "unknown: stacks follow frame pointers only",
          remedy: "Linux \(KernelVersion.minimumForStacks) or later")
    )
    do {
      var configuration = TraceConfiguration()
      configuration.maximumAllocations = 4096
      configuration.maximumSites = 256
      let tracer = try AllocationTracer(configuration: configuration, discovery: AllocatorDiscovery.Options())
      tracer.stop()
      checks.append(
        CapabilityCheck(
          .programs, "leaktrace trace", tracer.unwindTables == nil ? .degraded : .works,
          tracer.unwindTables == nil
            ? "loads, but not the walker of stacks: they follow frame pointers only"
            : "its programs load, stacks included"))
    } catch {
      checks.append(
        CapabilityCheck(
          .programs, "leaktrace trace", .fails, "its programs do not load: \(error)", remedy: "see the lines above"))
    }
    return checks
  }

  // MARK: Probes

  private static func userProbes() -> [CapabilityCheck] {
    func attempt(
      _ name: String, _ program: ccapability_program, _ kind: Link.MultiKind?, otherwise: CapabilityCheck.Status,
      means: String, remedy: String
    ) -> CapabilityCheck {
      do {
        try ProbeCosts.attach(to: ccapability_emulated, program: program, kind: kind) {}
        return CapabilityCheck(.userProbes, name, .works, "attached to a function of ours")
      } catch {
        return CapabilityCheck(.userProbes, name, otherwise, "\(error); \(means)", remedy: remedy)
      }
    }
    let single = attempt(
      "perf uprobe", CCAPABILITY_UPROBE, nil, otherwise: .degraded,
      means: "of use only where the others do not work", remedy: "CAP_SYS_ADMIN, and see kernel.perf_event_paranoid")
    let multi = attempt(
      "uprobe.multi", CCAPABILITY_UPROBE_MULTI, .entry, otherwise: single.status == .works ? .degraded : .fails,
      means: "probes are attached one by one", remedy: "Linux 6.6 or later")
    let session = attempt(
      "uprobe.session", CCAPABILITY_UPROBE_SESSION, .session, otherwise: .degraded,
      means: "a call costs two programs, and loaders do not wait for new probes", remedy: "Linux 6.13 or later"
    )
    return [session, multi, single]
  }

  private static func kernelProbes() -> [CapabilityCheck] {
    var checks: [CapabilityCheck] = []
    let program = ccapability_load(CCAPABILITY_RAW_TRACEPOINT)
    var code = program
    if program >= 0 {
      code = bpf_raw_tracepoint_open("sched_process_exit", program)
      if code >= 0 { close(code) } else { code = -errno }
      close(program)
    }
    checks.append(
      tried(
        .kernelProbes, "raw tracepoints", code, works: "attached to sched_process_exit", otherwise: .fails,
        means: "the ends of processes are not seen", remedy: "CAP_PERFMON"))
    let event = clibbpf_perf_kprobe("vfs_read", false)
    if event >= 0 { close(event) }
    checks.append(
      tried(
        .kernelProbes, "kprobes", event, works: "opened on vfs_read", otherwise: .absent,
        means: "bulk allocations of slabs and deferred frees cannot be seen", remedy: "a kernel with CONFIG_KPROBES"))
    checks.append(
      tried(
        .kernelProbes, "fentry", ccapability_attach_fentry(), works: "attached to vfs_read", otherwise: .absent,
        means: "leaktrace does without"))
    var configuration = KernelTraceConfiguration()
    configuration.maximumAllocations = 4096
    configuration.maximumSites = 256
    do {
      let tracer = try KernelTracer(configuration: configuration)
      defer { tracer.stop() }
      let hooks = tracer.report(ReportRequest()).kernelMemory?.hooks ?? []
      let missing = hooks.filter { $0.method == nil }
      let polled = hooks.filter { $0.method == KernelHook.Method.polling.rawValue }
      let methods = Set(hooks.compactMap(\.method)).sorted().joined(separator: ", ")
      checks.append(
        CapabilityCheck(
          .kernelProbes, "leaktrace kernel", missing.isEmpty && polled.isEmpty ? .works : .degraded,
          "\(hooks.count - missing.count) of \(hooks.count) hooks, by \(methods)"
            + (missing.isEmpty ? "" : "; not to be seen: " + missing.map(\.name).joined(separator: ", "))))
    } catch {
      checks.append(
        CapabilityCheck(.kernelProbes, "leaktrace kernel", .degraded, "cannot trace the kernel: \(error)"))
    }
    return checks
  }

  // MARK: Host

  private static func host() -> [CapabilityCheck] {
    var checks: [CapabilityCheck] = []
    if let hierarchy = HostSampler().hierarchy {
      checks.append(
        CapabilityCheck(
          .host, "control groups", .works,
          "version \(hierarchy.version.rawValue) with memory at \(hierarchy.mountPoint)"))
    } else {
      checks.append(
        CapabilityCheck(
          .host, "control groups", .absent, "none count memory: observe and watch see processes only",
          remedy: "mount cgroup2, or boot without cgroup_disable=memory"))
    }
    let slab = text("/proc/slabinfo") != nil
    checks.append(
      CapabilityCheck(
        .host, "slab caches", slab ? .works : .degraded,
        slab ? "/proc/slabinfo" : "/proc/slabinfo cannot be read: caches of the kernel are not seen",
        remedy: slab ? nil : "run it with sudo"))
    let vmalloc = text("/proc/vmallocinfo") != nil
    checks.append(
      CapabilityCheck(
        .host, "vmalloc", vmalloc ? .works : .degraded,
        vmalloc ? "/proc/vmallocinfo" : "/proc/vmallocinfo cannot be read", remedy: vmalloc ? nil : "run it with sudo"))
    var limit = rlimit()
    getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit)
    checks.append(
      CapabilityCheck(
        .host, "open files", limit.rlim_max >= 1024 ? .works : .degraded,
        "up to \(limit.rlim_max == .max ? "any number" : groupedNumber(limit.rlim_max))",
        remedy: limit.rlim_max >= 1024 ? nil : "ulimit -n 4096"))
    return checks
  }

  private static func symbols() -> [CapabilityCheck] {
    var checks: [CapabilityCheck] = []
    let line = (text("/proc/kallsyms") ?? "").prefix { $0 != "\n" }
    let isHidden = line.isEmpty || line.hasPrefix("0000000000000000")
    checks.append(
      CapabilityCheck(
        .symbols, "kernel addresses", isHidden ? .degraded : .works,
        isHidden ? "hidden: frames of the kernel have no names" : "/proc/kallsyms",
        remedy: isHidden ? "CAP_SYSLOG, and sysctl kernel.kptr_restrict=1 or 0" : nil))
    let files = directoryEntries("/usr/lib/debug/.build-id")
    checks.append(
      files.isEmpty
        ? CapabilityCheck(
          .symbols, "debug files", .absent,
          "none in /usr/lib/debug: lines and inlined functions only where a program has its own",
          remedy: "install -dbgsym packages, for the C library libc6-dbg")
        : CapabilityCheck(.symbols, "debug files", .works, "/usr/lib/debug/.build-id"))
    return checks
  }
}
