import Foundation
import Glibc
import TestTools
import Testing

extension Privileged {
  /// However `leaktrace kernel` ends, its last report is printed and no probe stays.
  @Suite struct KernelEndingsTests {
    @Test(arguments: EndingsTests.signals) func signalGivesTheLastReport(signal: Int32, status: Int32) throws {
      let running = try RunningProgram(
        [LeakTrace.program, "kernel", "--format", "json", "-v", "-p", "1", "300"], capturesErrors: true)
      #expect(running.readErrorLine(timeout: patience).hasPrefix("leaktrace: tracing the kernel"))
      let held = try KernelPrograms.held(by: running.processID)
      #expect(held.programs.count >= 5 && held.links.count >= 5)
      kill(running.processID, signal)
      let outcome = LeakTrace.finish(running)
      #expect(outcome.status == status)
      #expect(outcome.output.split(separator: "\n").count == 1)
      #expect(throws: Never.self) { try KernelReport(json: outcome.output) }
      #expect(outcome.errors == "")
      #expect(try KernelPrograms.remainingForGood(of: held).isEmpty)
    }

    @Test func killed() throws {
      let trace = try KernelTrace(["--stacks", "all", "--pages"])
      let held = try KernelPrograms.held(by: trace.running.processID)
      #expect(held.programs.count >= 8 && held.links.count >= 8)
      #expect(try KernelPrograms.remaining(of: held) == held)
      kill(trace.running.processID, SIGKILL)
      trace.running.wait()
      #expect(try KernelPrograms.remainingForGood(of: held).isEmpty)
    }

    @Test(arguments: [20, 100, 200, 400]) func killedWhileAttaching(milliseconds: Int) throws {
      let running = try RunningProgram([LeakTrace.program, "kernel"])
      pause(milliseconds: milliseconds)
      let held = try KernelPrograms.held(by: running.processID)
      kill(running.processID, SIGKILL)
      running.wait()
      #expect(try KernelPrograms.remainingForGood(of: held).isEmpty)
    }

    /// The reader of the reports goes away.
    @Test func closedPipe() throws {
      let start = secondsNow()
      let shell = try RunningProgram(["sh", "-c", "\(LeakTrace.program) kernel -p 1 0.2 | head -n 1"])
      let output = shell.readOutput(timeout: patience)
      shell.wait()
      #expect(output.hasPrefix("the kernel "))
      #expect(secondsNow() - start < patience)
    }

    @Test func intervalAndCount() throws {
      let start = secondsNow()
      let outcome = try LeakTrace.kernel(["--format", "json", "-p", "1", "0.3", "3"])
      let reports = try outcome.output.split(separator: "\n").map { try KernelReport(json: $0) }
      #expect(outcome.status == 0)
      #expect(reports.count == 3)
      #expect(secondsNow() - start >= 0.9)
      let durations = reports.map(\.window.durationSeconds)
      #expect(durations == durations.sorted() && durations[0] >= 0.3)
    }

    @Test func duration() throws {
      let outcome = try LeakTrace.kernel(["--format", "json", "-p", "1", "--duration", "500ms"])
      #expect(outcome.status == 0)
      #expect(outcome.output.split(separator: "\n").count == 1)
    }

    @Test func severalOutputs() throws {
      let directory = try TemporaryDirectory()
      let outcome = try LeakTrace.kernel([
        "-p", "1", "--duration", "300ms", "--format", "text", "--output", "-", "--format", "json", "--output",
        directory.file("report.json"),
      ])
      #expect(outcome.status == 0)
      #expect(outcome.output.hasPrefix("the kernel "))
      let text = String(decoding: contents(of: directory.file("report.json")), as: UTF8.self)
      #expect(throws: Never.self) { try KernelReport(json: text) }
    }

    /// On a terminal of its own, which it gives back; the last report stays behind.
    @Test func liveView() throws {
      let running = try RunningProgram(
        ["script", "-qec", "stty rows 30 cols 100; \(LeakTrace.program) kernel --tui -p 1 0.5", "/dev/null"])
      var screen = ""
      for _ in 0..<200 where !screen.contains("WHERE") { screen += running.readLine(timeout: patience) + "\n" }
      #expect(screen.contains("leaktrace kernel, ") && screen.contains("outstanding "))
      running.send("q")
      let rest = running.readOutput(timeout: patience)
      #expect(running.wait() == 0)
      let parts = rest.split(separator: "\u{1b}[?1049l")
      #expect(parts.count == 2 && parts.last?.contains("the kernel ") == true, "\(rest.suffix(300))")
    }

    /// Where all memory is, without any probe and in no time.
    @Test func whereMemoryIs() throws {
      let outcome = try LeakTrace.kernel(["--where"])
      #expect(outcome.status == 0)
      for words in [
        "Memory of this host:", "slab, unreclaimable", "unaccounted", "Largest slab caches:", "dentry", "vmalloc",
      ] {
        #expect(outcome.output.contains(words))
      }
      let json = try LeakTrace.kernel(["--where", "--format", "json", "-T", "5"])
      let report = try KernelReport(json: json.output)
      #expect(report.sites.isEmpty)
      #expect(report.kernel.slabUse.count == 5)
      #expect(report.kernel.slabUse.map(\.bytes) == report.kernel.slabUse.map(\.bytes).sorted(by: >))
      #expect(report.kernel.hooks.isEmpty)
      let meminfo = String(decoding: contents(of: "/proc/meminfo"), as: UTF8.self)
      let total = meminfo.split(separator: "\n").first.flatMap { UInt64($0.filter(\.isNumber)) }.map { $0 * 1024 }
      #expect(report.kernel.shares.reduce(0) { $0 + $1.bytes } == total)
    }

    /// Hooks and how they are seen; every one of them is named.
    @Test func hooksAreNamed() throws {
      let report = try LeakTrace.kernelReport(["-p", "1", "--pages", "--duration", "200ms"])
      #expect(report.kernel.hooks.count == 13)
      for hook in ["kmalloc", "kfree", "kmem_cache_alloc", "kmem_cache_free", "percpu_alloc_percpu", "mm_page_free"] {
        #expect(report.method(of: hook) == "raw tracepoint")
      }
      let hasKprobes = access("/sys/bus/event_source/devices/kprobe/type", F_OK) == 0
      for hook in ["kmem_cache_free_bulk", "kmem_cache_alloc_bulk", "kvfree_call_rcu"] {
        #expect(report.method(of: hook) == (hasKprobes ? "kprobe" : nil))
      }
      let outcome = try LeakTrace.kernel(["-v", "-p", "1", "--duration", "200ms"])
      #expect(outcome.output.contains("by raw tracepoint"))
      #expect(outcome.output.contains("  kmalloc "))
    }

    /// Every report has what the kernel says of itself beside it.
    @Test func crossCheck() throws {
      let report = try LeakTrace.kernelReport(["--duration", "500ms"])
      #expect(report.kernel.shares.count == 12)
      #expect(report.kernel.shares.allSatisfy { $0.changeBytes != nil })
      #expect(report.kernel.shares.filter { $0.tracedBytes != nil }.count == 4)
      #expect(!report.kernel.caches.isEmpty && report.kernel.caches.count <= 10)
    }
  }
}
