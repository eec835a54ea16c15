import AllocationTracing
import BPFRuntime
import Glibc
import ProcessImage
import TraceModel

struct Mini: ProbePlanner {
  func describe(_ processID: Int32) throws -> (command: String, executable: String?) { ("x", nil) }
  func mappings(of processID: Int32) throws -> [Mapping] {
    guard let f = fopen("/proc/\(processID)/maps", "r") else { throw TraceError("no such process") }
    defer { fclose(f) }
    var result: [Mapping] = []
    var line = [CChar](repeating: 0, count: 4096)
    while fgets(&line, 4096, f) != nil {
      let parts = String(decoding: line.prefix(while: { $0 != 0 }).map { UInt8(bitPattern: $0) }, as: UTF8.self).split(whereSeparator: { $0 == " " || $0 == "\n" })
      let range = parts[0].split(separator: "-")
      result.append(
        Mapping(
          start: UInt64(range[0], radix: 16)!, end: UInt64(range[1], radix: 16)!, fileOffset: UInt64(parts[2], radix: 16)!,
          permissions: parts[1].contains("x") ? .execute : [], device: 1, inode: UInt64(parts[4])!, path: parts.count > 5 ? String(parts[5]) : "", isDeleted: false))
    }
    return result
  }
  func plan(_ processID: Int32, _ mappings: [Mapping], _ fresh: [Mapping]) throws -> ProbePlan {
    var plan = ProbePlan()
    for m in fresh where m.path.contains("libc.so") {
      let elf = try ElfFile(path: m.path)
      elf.forEachSymbol(in: .dynamic) { s in
        let n = String(cString: s.name)
        let a: [String: (PlannedProbe.Action, [Int], [ArgumentRegister])] = [
          "malloc": (.allocate, [0], [.rdi]), "calloc": (.allocateCounted, [0, 1], [.rdi, .rsi]),
          "realloc": (.reallocate, [0, 1], [.rdi, .rsi]), "free": (.free, [0], [.rdi]),
        ]
        guard let (action, args, regs) = a[n], s.isDefined else { return }
        let code = elf.contents(atVirtualAddress: s.value, size: s.size)!
        let site = selectProbeSite(code: code, address: s.value, requirement: ProbeSiteRequirement(arguments: Set(args), needsReturn: action != .free, ignoresNullPointer: action == .free))
        plan.probes.append(PlannedProbe(function: n, object: m.path, identity: m.path, openPath: m.path, functionFileOffset: elf.fileOffset(ofVirtualAddress: s.value)!, site: site, action: action, registers: regs.enumerated().map { site.argumentRegisters[$0.offset] ?? $0.element }, mayNest: false))
      }
    }
    return plan
  }
}
var config = TraceConfiguration()
if let s = getenv("SAMPLE") { config.sampleMeanInBytes = UInt64(String(cString: s)) }
if getenv("PERF") != nil { config.avoidsMultiLinks = true }
if getenv("NOMAP") != nil { config.tracesMappings = false }
if getenv("ENTRY") != nil { config.probesFunctionEntries = true }
do {
var t0 = monotonicNanoseconds()
func lap(_ s: String) { let n = monotonicNanoseconds(); print(s, Double(n - t0) / 1e6, "ms"); t0 = n }
let tracer = try AllocationTracer(configuration: config, planner: Mini())
lap("load")
let p = try tracer.attach(processID: Int32(CommandLine.arguments[1])!)
lap("attach")
for probe in tracer.probes { print(probe.function, probe.site, probe.functionFileOffset) }
let end = monotonicNanoseconds() + UInt64(Double(CommandLine.arguments[2])! * 1e9)
while monotonicNanoseconds() < end {
  var pfd = pollfd(fd: tracer.pollDescriptor, events: Int16(POLLIN), revents: 0)
  poll(&pfd, 1, 100)
  tracer.handleEvents()
}
t0 = monotonicNanoseconds()
for r in tracer.reportProbes() { print(r.function, r.hits, r.offset, r.kind) }
tracer.debugDump()
lap("dump")
_ = p
} catch { if let e = error as? BPFError { print(e.log.suffix(3000)) }; print("error", error); exit(2) }
