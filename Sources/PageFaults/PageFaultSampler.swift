import CPerfEvents
import Glibc
import SystemSupport

/// Samples the page faults of one process by the kernel's perf events: no probe, and nothing for any other process. Each
/// sample has a copy of the stack.
///
/// Cost: below 0.1 µs for a fault of the process and some 10 µs for one that is sampled. Not safe for use from several threads.
package final class PageFaultSampler {
  /// One sampled fault.
  package struct Fault {
    /// The address that was touched for the first time.
    package var address: UInt64
    /// The number of faults that this one stands for.
    package var weight: UInt64
    package var instruction: UInt64
    package var stackPointer: UInt64
    package var framePointer: UInt64
    /// The stack from its pointer on; only valid during the call.
    package var stack: UnsafeRawBufferPointer
  }

  private struct Ring {
    var descriptor: Int32
    var memory: UnsafeMutableRawPointer
  }

  private var rings: [Ring] = []
  private var descriptors: [Int32] = []
  private let stack = UnsafeMutableRawBufferPointer.allocate(byteCount: Int(stackBytes), alignment: 16)
  /// The number of samples for which there was no room.
  package private(set) var lost: UInt64 = 0
  /// Threads that are not followed because there are too many.
  package private(set) var leftOutThreads = 0

  private static let stackBytes: UInt32 = 16 << 10
  /// Two dozen samples for each CPU on small hosts; all together are bounded.
  private static let pagesPerRing = 128
  private static let mostPages = 2048
  private static let leastPagesPerRing = 16
  /// One for each thread on each CPU.
  private static let mostEvents = 512
  private let pages: Int
  private let period: UInt64
  private let processID: Int32

  /// - Parameter period: faults of a thread on one CPU between two samples. A frequency would be steered by the kernel, and
  ///   then what a sample stands for is not exact.
  package init(processID: Int32, period: UInt64) throws(Refusal) {
    let cpus = Self.onlineCPUs()
    var pages = Self.pagesPerRing
    while pages * cpus.count > Self.mostPages, pages > Self.leastPagesPerRing { pages /= 2 }
    self.processID = processID
    self.pages = pages
    self.period = max(1, period)
    let threads = Self.threads(of: processID)
    guard !threads.isEmpty else { throw Refusal("process \(processID) has ended") }
    let followed = max(1, Self.mostEvents / cpus.count)
    leftOutThreads = max(0, threads.count - followed)
    for cpu in cpus {
      var first: Int32?
      for thread in threads.prefix(followed) {
        let descriptor = cperf_open_faults(thread, cpu, self.period, Self.stackBytes)
        // Threads come and go while they are listed.
        if descriptor == -ESRCH { continue }
        guard descriptor >= 0 else {
          throw Refusal("page faults cannot be sampled: \(errorMessage(-descriptor))")
        }
        descriptors.append(descriptor)
        if let first {
          let error = cperf_redirect(descriptor, first)
          guard error == 0 else {
            throw Refusal("page faults cannot be gathered: \(errorMessage(-error))")
          }
        } else {
          guard let memory = cperf_map(descriptor, pages) else {
            throw Refusal("no memory for page faults: \(errorMessage(errno))")
          }
          rings.append(Ring(descriptor: descriptor, memory: memory))
          first = descriptor
        }
      }
    }
    guard !rings.isEmpty else { throw Refusal("process \(processID) has ended") }
    for descriptor in descriptors { _ = cperf_enable(descriptor) }
  }

  deinit {
    for ring in rings { cperf_unmap(ring.memory, pages) }
    for descriptor in descriptors { close(descriptor) }
    stack.deallocate()
  }

  /// Readable when there is a sample.
  package var pollDescriptors: [Int32] { rings.map(\.descriptor) }

  /// Gives every sample that waits to `body`.
  package func take(_ body: (Fault) -> Void) {
    for ring in rings {
      var fault = cperf_fault()
      loop: while true {
        switch UInt32(cperf_next(ring.memory, pages, &fault, stack.baseAddress!, stack.count, &lost)) {
        case UInt32(CPERF_NOTHING): break loop
        case UInt32(CPERF_FAULT):
          // Children, on kernels that cannot leave them out.
          guard fault.process_id == UInt32(processID) else { continue }
          body(
            Fault(
              address: fault.address, weight: period, instruction: fault.instruction_pointer,
              stackPointer: fault.stack_pointer,
              framePointer: fault.frame_pointer, stack: UnsafeRawBufferPointer(rebasing: stack[..<fault.stack_bytes])))
        default: continue
        }
      }
    }
  }

  private static func threads(of processID: Int32) -> [Int32] {
    guard let directory = opendir("/proc/\(processID)/task") else { return [] }
    defer { closedir(directory) }
    var threads: [Int32] = []
    while let entry = readdir(directory) {
      let name = withUnsafeBytes(of: entry.pointee.d_name) { String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self) }
      if let thread = Int32(name) { threads.append(thread) }
    }
    return threads
  }

  /// `0-3,6` of /sys/devices/system/cpu/online.
  static func cpus(in text: String) -> [Int32] {
    text.split { $0 == "," || $0 == "\n" }.flatMap { part -> [Int32] in
      let ends = part.split(separator: "-").compactMap { Int32($0) }
      guard let first = ends.first, let last = ends.last, first <= last else { return [] }
      return Array(first...last)
    }
  }

  private static func onlineCPUs() -> [Int32] {
    var text = [UInt8](repeating: 0, count: 4096)
    let descriptor = open("/sys/devices/system/cpu/online", O_RDONLY | O_CLOEXEC)
    defer { if descriptor >= 0 { close(descriptor) } }
    let count = descriptor < 0 ? 0 : read(descriptor, &text, text.count)
    let cpus = cpus(in: String(decoding: text.prefix(max(0, count)), as: UTF8.self))
    return cpus.isEmpty ? (0..<Int32(sysconf(Int32(_SC_NPROCESSORS_ONLN)))).map { $0 } : cpus
  }
}
