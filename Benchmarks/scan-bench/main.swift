import Glibc
import LeakAnalysis
import ProcessImage
import ProgramSupport
// Measures the search for pointers. Hidden: `Scripts/bench leak-check` runs it.
//
//   scan-bench PROGRAM BLOCKS MEAN_SIZE LEAKS [-t THREADS] [-r ROUNDS] [-b EDGE_BUDGET] [-e] [-p] [-w WINDOW]
//       checks PROGRAM (Tests/Programs/planted_leaks.c) from outside while it is stopped, and compares the verdicts with
//       what it planted; -b: bytes for pointers between blocks; -e: keeps what explanations need;
//       -p: before all other work of the machine; -w: bytes read at once
//
// Prints one `name value` a line; times in milliseconds, each the least of all rounds.
import SystemSupport
import TraceModel

struct Arguments {
  var program = ""
  var blocks = 2_000_000
  var meanSize = 565
  var leaks = 20_000
  var rounds = 3
  var isUrgent = false
  var options = ScanOptions()

  init(_ arguments: ArraySlice<String>) {
    var arguments = arguments
    var plain: [String] = []
    while let argument = arguments.popFirst() {
      switch argument {
      case "-t": options.threads = arguments.popFirst().flatMap { Int($0) } ?? options.threads
      case "-r": rounds = arguments.popFirst().flatMap { Int($0) } ?? rounds
      case "-b": options.edgeBudgetInBytes = arguments.popFirst().flatMap { Int($0) }
      case "-e": options.retainsSources = true
      case "-p": isUrgent = true
      case "-w": options.windowBytes = arguments.popFirst().flatMap { Int($0) } ?? options.windowBytes
      default: plain.append(argument)
      }
    }
    guard plain.count == 4, let blocks = Int(plain[1]), let meanSize = Int(plain[2]), let leaks = Int(plain[3]) else {
      fatalError(
        "usage: scan-bench PROGRAM BLOCKS MEAN_SIZE LEAKS [-t THREADS] [-r ROUNDS] [-b EDGE_BUDGET] [-e] [-p] [-w WINDOW]"
      )
    }
    (program, self.blocks, self.meanSize, self.leaks) = (plain[0], blocks, meanSize, leaks)
  }
}

/// One block of the program's list.
struct PlantedBlock {
  let address: UInt64
  let size: UInt64
  let kind: UInt64
}

/// The program with its heap made, and the list of its blocks, which stays in a file's pages.
struct PlantedHeap {
  let process: RunningProgram
  let list: UnsafeBufferPointer<PlantedBlock>

  init(_ arguments: Arguments, directory: TemporaryDirectory) throws {
    let path = directory.file("list")
    process = try RunningProgram([
      arguments.program, "\(arguments.blocks)", "\(arguments.meanSize)", "\(arguments.leaks)", path,
    ])
    process.send("go\n")
    print(process.readLine())
    let descriptor = open(path, O_RDONLY)
    var information = stat()
    fstat(descriptor, &information)
    let size = Int(information.st_size)
    guard descriptor >= 0, size > 0, let pages = mmap(nil, size, PROT_READ, MAP_SHARED, descriptor, 0) else {
      fatalError("no list of blocks at \(path)")
    }
    close(descriptor)
    list = UnsafeBufferPointer(
      start: pages.assumingMemoryBound(to: PlantedBlock.self), count: size / MemoryLayout<PlantedBlock>.size)
  }
}

/// Least milliseconds of what is measured, by name, in the order of the first round.
struct Times {
  private var names: [String] = []
  private var best: [String: Double] = [:]

  mutating func measure<Result>(_ name: String, _ body: () throws -> Result) rethrows -> Result {
    let start = ContinuousClock.now
    let startOfWork = processorTime()
    let result = try body()
    note(name, ContinuousClock.now - start)
    note(name + "_cpu", processorTime() - startOfWork)
    return result
  }

  mutating func note(_ name: String, _ time: Duration) {
    if best[name] == nil { names.append(name) }
    best[name] = min(best[name] ?? .infinity, time / .milliseconds(1))
  }

  func show() {
    for name in names { print("\(name)_ms \(Double(Int(best[name]! * 10)) / 10)") }
  }
}

/// What all threads of this process have worked so far: tells more than the time when the machine has other work, too.
func processorTime() -> Duration { .seconds(processSeconds()) }

/// Bytes of a field of /proc/self/status.
func status(_ field: String) -> Int {
  let text = String(decoding: contents(of: "/proc/self/status"), as: UTF8.self)
  let line = text.split(separator: "\n").first { $0.hasPrefix(field + ":") }
  return (line?.split(whereSeparator: { $0 == " " || $0 == "\t" }).dropFirst().first.flatMap { Int($0) } ?? 0) * 1024
}

func waitUntilStopped(_ process: Int32) {
  while true {
    let text = String(decoding: contents(of: "/proc/\(process)/stat"), as: UTF8.self)
    if text.drop(while: { $0 != ")" }).dropFirst(2).first == "T" { return }
    usleep(100)
  }
}

/// Writable memory that is no heap: as for a program traced from its start.
func roots(in mappings: [Mapping]) -> [Root] {
  mappings.filter { $0.permissions.isSuperset(of: [.read, .write]) && $0.path != "[heap]" }.map {
    Root(range: $0.start..<$0.end, kind: $0.path == "[stack]" ? .stack : .globals, name: $0.path)
  }
}

/// Compares verdicts with what was planted: how many leaks were found, and how many were said to be where there are none.
func compare(_ result: Reachability, _ heap: PlantedHeap) {
  var found = 0
  var planted = 0
  var wrong = 0
  for number in 0..<result.count {
    let kind = result.kind(number)
    let isLost = kind == .definitelyLost || kind == .indirectlyLost
    let isPlanted = heap.list[Int(result.block(number).tag)].kind != 0
    planted += isPlanted ? 1 : 0
    found += isPlanted && isLost ? 1 : 0
    wrong += isLost && !isPlanted ? 1 : 0
  }
  print("leaks_planted \(planted)\nleaks_found \(found)\nfalse_leaks \(wrong)")
  for (kind, tally) in result.tallies.sorted(by: { $0.key.rawValue < $1.key.rawValue }) {
    print("\(kind.rawValue) \(tally.count) \(tally.bytes)")
  }
}

func checkOnce(_ heap: PlantedHeap, _ arguments: Arguments, _ times: inout Times, isLast: Bool) throws {
  let process = heap.process.processID
  let clock = ContinuousClock()
  let start = clock.now
  let threads = arguments.options.threads
  var first = BlockCollector(capacity: heap.list.count, threads: threads)
  var ready: [CollectorBox] = []
  for thread in 1..<threads { ready.append(CollectorBox(first.shareReserve(with: threads - thread))) }
  ready.insert(CollectorBox(first), at: 0)
  kill(process, SIGSTOP)
  waitUntilStopped(process)
  let stopped = clock.now
  let mappings = try ProcessMaps.read(processID: process)
  let memory = try ResidentMemory(processID: process, mappings: mappings)
  let blocks = times.measure("collect") { collect(heap.list, ready) }
  let scan = times.measure("sort") { PointerScan(blocks: blocks.take(), options: arguments.options) }
  let outcome = times.measure("read") {
    scan.read(roots: roots(in: mappings), mappings: mappings, memory: memory)
  }
  kill(process, SIGCONT)
  times.note("stopped", clock.now - stopped)
  let result = times.measure("classify") { scan.classify() }
  times.note("total", clock.now - start)
  guard isLast else { return }
  print("blocks \(result.count)\nscanned_bytes \(outcome.scannedBytes)\nunreadable_bytes \(outcome.unreadableBytes)")
  print("read_again \(outcome.readBlocksAgain)\nedge_bytes \(scan.edgeBytes)")
  compare(result, heap)
}

/// A collector on its way to a thread and back.
final class CollectorBox: @unchecked Sendable {
  private var collector: BlockCollector?
  init(_ collector: consuming BlockCollector) { self.collector = consume collector }
  func take() -> BlockCollector { collector.take()! }
  func put(_ collector: consuming BlockCollector) { self.collector = consume collector }
}

/// Puts the list's blocks into collectors, one for each of several threads.
func collect(_ list: UnsafeBufferPointer<PlantedBlock>, _ boxes: [CollectorBox]) -> CollectorBox {
  nonisolated(unsafe) let list = list
  onThreads(boxes.count) { thread in
    var blocks = boxes[thread].take()
    for number in list.count * thread / boxes.count..<list.count * (thread + 1) / boxes.count {
      let block = list[number]
      blocks.append(LeakBlock(address: block.address, sizeInBytes: block.size), tag: UInt32(number))
    }
    boxes[thread].put(blocks)
  }
  var all = boxes[0].take()
  for box in boxes.dropFirst() { all.append(box.take()) }
  return CollectorBox(all)
}

let arguments = Arguments(CommandLine.arguments.dropFirst())
let heap = try PlantedHeap(arguments, directory: TemporaryDirectory())
if arguments.isUrgent {
  var parameters = sched_param(sched_priority: 10)
  if sched_setscheduler(0, SCHED_FIFO, &parameters) != 0 { fatalError("no right to a real-time priority") }
}
var times = Times()
let before = status("RssAnon")
for round in 1...arguments.rounds {
  try checkOnce(heap, arguments, &times, isLast: round == arguments.rounds)
}
times.show()
print("memory_bytes \(status("VmHWM") - status("RssFile") - before)")
