import Foundation
import Glibc
import TestTools
import Testing

extension Privileged {
  /// Kernel objects that a program holds and releases: the right cache, count, stack and process, and nothing when they
  /// are released.
  @Suite struct KernelObjectsTests {
    /// What `kernel_objects` KIND makes, per object.
    struct Objects: CustomTestStringConvertible {
      var kind: String
      /// A function on the call stack.
      var function: String
      var `class` = "slab"
      /// One of the cache's names; nil where it depends on the kernel's configuration or there is none.
      var cache: String?
      /// Bytes that one costs; 0: not asked.
      var size: UInt64 = 0
      var count: UInt64 = 60
      /// Blocks for each object that the program holds.
      var each: UInt64 = 1
      var options: [String] = []

      var testDescription: String { "\(kind): \(cache ?? function)" }
    }

    static let objects = [
      Objects(kind: "pipes", function: "alloc_pipe_info", cache: "kmalloc-cg-1k", size: 1024),
      Objects(kind: "pipes", function: "create_pipe_files", cache: "filp", each: 2),
      Objects(kind: "eventfds", function: "do_eventfd", cache: "kmalloc-64", size: 64),
      Objects(kind: "eventfds", function: "do_eventfd", cache: "filp"),
      Objects(kind: "sockets", function: "unix_create1", cache: "UNIX-STREAM"),
      Objects(kind: "sockets", function: "sock_alloc_inode", cache: "sock_inode_cache"),
      Objects(kind: "epoll", function: "do_epoll_ctl", cache: "eventpoll_pwq", size: 64),
      Objects(kind: "maps", function: "array_map_alloc", cache: "kmalloc-cg-1k", size: 1024),
      Objects(kind: "mapped_maps", function: "array_map_alloc", class: "vmalloc", size: 9 * 4096),
      Objects(
        kind: "percpu_maps", function: "array_map_alloc", class: "percpu",
        size: 24 * UInt64(sysconf(Int32(_SC_NPROCESSORS_CONF)))),
      Objects(kind: "threads", function: "copy_process", cache: "task_struct"),
      Objects(
        kind: "filled_pipes", function: "pipe_write|anon_pipe_write", class: "pages", size: 4096,
        options: ["--pages"]),
    ]

    @Test(arguments: objects) func heldAndReleased(_ objects: Objects) throws {
      let program = try TracedProgram([Self.program(), objects.kind, String(objects.count)])
      let trace = try KernelTrace(of: program, objects.options)
      try program.step()
      let held = try trace.report()
      let expected = objects.count * objects.each
      let sites = held.sites(in: objects.function, class: objects.class).filter {
        objects.cache == nil || $0.cacheNames.contains(objects.cache!)
      }
      #expect(sites.reduce(0) { $0 + $1.outstandingCount } == expected, "\(Self.describe(held))")
      for site in sites {
        if objects.size > 0 { #expect(site.blockSize == objects.size) }
        #expect(site.stackComplete)
        #expect(site.pid == program.processID)
        #expect(site.kernel.processes.map(\.pid) == [program.processID])
        #expect(site.kernel.processes[0].command?.hasPrefix("kernel_objects") == true)
        #expect(site.kernel.doubt == nil)
      }
      #expect(held.losses == [:])
      try program.step()
      // Some are given back by a worker of the kernel, or after an RCU grace period.
      let released = try trace.report {
        $0.outstanding(in: objects.function, class: objects.class, cache: objects.cache).count <= 2
      }
      let rest = released.outstanding(in: objects.function, class: objects.class, cache: objects.cache)
      // The kernel keeps the last of some kinds at hand.
      #expect(rest.count <= 2, "\(Self.describe(released))")
    }

    /// Freed by kfree_rcu, which shows itself only where the kernel has kprobes: what remains is in doubt.
    @Test func epollItems() throws {
      let program = try TracedProgram([Self.program(), "epoll", "500"])
      let trace = try KernelTrace(of: program)
      try program.step()
      let held = try trace.report()
      #expect(held.outstanding(in: "do_epoll_ctl", cache: "eventpoll_epi").count == 500, "\(Self.describe(held))")
      try program.step()
      let released = try trace.report { $0.outstanding(in: "do_epoll_ctl", cache: "eventpoll_pwq").count == 0 }
      let items = released.sites.filter {
        $0.cacheNames.contains("eventpoll_epi") && $0.functions.contains("do_epoll_ctl")
      }
      if released.method(of: "kvfree_call_rcu") == "kprobe" {
        #expect(items.isEmpty)
      } else {
        #expect(released.notes.contains { $0.contains("kvfree_call_rcu") })
      }
    }

    @Test func directoryEntries() throws {
      let directory = try TemporaryDirectory()
      let program = try TracedProgram([Self.program(), "files", "150", directory.path])
      let trace = try KernelTrace(of: program, ["--cache", "dentry"])
      try program.step()
      let held = try trace.report()
      #expect(held.outstanding(in: "d_alloc|d_alloc_parallel", cache: "dentry").count == 150, "\(Self.describe(held))")
      #expect(held.sites.allSatisfy { $0.cacheNames.contains("dentry") && $0.kernel.reclaimable })
      try program.step()
      // The kernel keeps entries that say that there is no such file, until the directory goes.
      #expect(rmdir(directory.path) == 0)
      let released = try trace.report { $0.outstanding(in: "d_alloc|d_alloc_parallel").count == 0 }
      #expect(released.outstanding(in: "d_alloc|d_alloc_parallel") == Blocks(0, 0))
    }

    /// Messages in a queue that its owner leaves behind: they are still there when the process is gone, with its name.
    @Test func messagesWithoutAnOwner() throws {
      let program = try TracedProgram([Self.program(), "messages", "30"])
      let trace = try KernelTrace(Self.messageOptions)
      program.letGo()
      let queue = program.readLine()
      defer { _ = try? run(["ipcrm", "-q", queue]) }
      try program.wait()
      program.letGo()
      try program.wait()
      program.letGo()
      #expect(program.end() == 0)
      let report = try trace.report {
        $0.outstanding(in: "ksys_msgsnd").count == 30 || $0.outstanding(in: "do_msgsnd").count == 30
      }
      let sites = report.sites.filter { $0.kernel.processes.contains { $0.pid == program.processID } }
      #expect(sites.map(\.outstandingCount) == [30], "\(Self.describe(report))")
      let site = try #require(sites.first)
      // 48 bytes of heading and 500 of text.
      #expect(site.blockSize == 1024)
      #expect(site.kernel.cache == Self.cacheOfMessages)
      #expect(site.kernel.processes[0].command?.hasPrefix("kernel_objects") == true)
      #expect(site.functions.contains { $0.hasSuffix("msgsnd") })
      try run(["ipcrm", "-q", queue])
      let released = try trace.report { report in !report.sites.contains { $0.pid == program.processID } }
      #expect(!released.sites.contains { $0.pid == program.processID })
    }

    /// Where the kernel keeps messages apart from other memory of their size.
    private static let cacheOfMessages: String = {
      let text = String(decoding: contents(of: "/proc/slabinfo"), as: UTF8.self)
      return text.contains("\nmsg_msg-") ? "msg_msg-1k" : "kmalloc-cg-1k"
    }()

    /// Where alloc_msg is no function of its own its caller is the one that asks.
    private static let messageOptions: [String] = {
      let names = String(decoding: contents(of: "/proc/kallsyms"), as: UTF8.self)
      let functions = ["load_msg", "alloc_msg"].filter { names.contains(" \($0)\n") }
      return functions.flatMap { ["--call-site", $0] } + ["--stacks", "all"]
    }()

    /// mq_unlink, which Swift's importer leaves out.
    private static func unlinkQueue(_ name: String) {
      typealias Unlink = @convention(c) (UnsafePointer<CChar>) -> Int32
      guard let function = dlsym(nil, "mq_unlink") else { return }
      _ = unsafeBitCast(function, to: Unlink.self)(name)
    }

    @Test func posixMessagesWithoutAnOwner() throws {
      let name = "/leaktrace-test-\(getpid())"
      let program = try TracedProgram([Self.program(), "posix_messages", "8", name])
      let trace = try KernelTrace(Self.messageOptions)
      program.letGo()
      try program.wait()
      program.letGo()
      try program.wait()
      program.letGo()
      #expect(program.end() == 0)
      defer { Self.unlinkQueue(name) }
      let report = try trace.report { $0.sites.contains { $0.pid == program.processID } }
      let site = try #require(report.sites.first { $0.pid == program.processID })
      #expect(site.outstandingCount == 8)
      #expect(site.functions.contains { $0.contains("mq_timedsend") })
      Self.unlinkQueue(name)
      let released = try trace.report { report in !report.sites.contains { $0.pid == program.processID } }
      #expect(!released.sites.contains { $0.pid == program.processID })
    }

    /// Each was made by a child that ended at once: they are the program's, and not of forty processes.
    @Test func madeByChildrenThatEnded() throws {
      let program = try TracedProgram([Self.program(), "semaphores", "40"])
      let trace = try KernelTrace(Self.semaphoreOptions)
      try program.step()
      let report = try trace.report { $0.outstanding(in: "ksys_semget|__x64_sys_semget").count >= 40 }
      let sites = report.sites(in: "ksys_semget|__x64_sys_semget")
        .filter { $0.kernel.processes.contains { $0.pid == program.processID } }
      let shares = sites.flatMap(\.kernel.processes)
      #expect(shares.map(\.pid) == [program.processID], "\(Self.describe(report))")
      #expect(shares.map(\.outstandingCount) == [40])
      #expect(sites.allSatisfy { $0.pid == program.processID && $0.kernel.doubt == nil })
      try program.step()
      let released = try trace.report { report in !report.sites.contains { $0.pid == program.processID } }
      #expect(!released.sites.contains { $0.pid == program.processID })
    }

    /// Where newary is no function of its own its caller is the one that asks.
    private static let semaphoreOptions: [String] = {
      let names = String(decoding: contents(of: "/proc/kallsyms"), as: UTF8.self)
      let functions = ["newary", "ksys_semget"].filter { names.contains(" \($0)\n") }
      return functions.flatMap { ["--call-site", $0] } + ["--stacks", "all"]
    }()

    /// Sockets of connections that nobody has accepted are made by a soft interrupt, for nobody in particular.
    @Test func madeByAnInterrupt() throws {
      let program = try TracedProgram([Self.program(), "connections", "100"])
      let trace = try KernelTrace(["--cache", "TCP", "--stacks", "all"])
      try program.step()
      let report = try trace.report { $0.sites.contains { $0.kernel.processes.contains { $0.pid == nil } } }
      let made = report.sites.filter { $0.functions.contains { $0.contains("do_softirq") || $0 == "handle_softirqs" } }
      #expect(made.reduce(0) { $0 + $1.outstandingCount } == 100, "\(Self.describe(report))")
      for site in made {
        #expect(site.pid == 0)
        #expect(site.kernel.processes.allSatisfy { $0.pid == nil && $0.command == nil })
        // Cut where the interrupt came in.
        #expect(["handle_softirqs", "__do_softirq"].contains(site.functions.last))
      }
      // Those of the connecting side are the program's own.
      let own = report.sites.filter { $0.pid == program.processID }
      #expect(own.reduce(0) { $0 + $1.outstandingCount } >= 100)
      #expect(own.allSatisfy { !$0.functions.contains("handle_softirqs") })
      try program.step()
      // Sockets stay a while to wait for late packets, but not these: no data was sent, and both sides are closed.
      let released = try trace.report { $0.sites.reduce(0) { $0 + $1.outstandingCount } < 20 }
      #expect(released.sites.reduce(0) { $0 + $1.outstandingCount } < 20, "\(Self.describe(released))")
    }

    static func program() throws -> String { try Programs.compile("kernel/kernel_objects.c", ["-lrt"]) }

    static func describe(_ report: KernelReport) -> String {
      report.sites.prefix(20).map {
        "\($0.outstanding) \($0.class) \($0.cacheNames.first ?? "-") pid \($0.pid) \($0.functions.prefix(6)) \($0.kernel.doubt ?? "")"
      }.joined(separator: "\n")
    }
  }
}
