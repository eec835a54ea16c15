import CElfUtils
import Glibc

/// What `/proc` says about one process or thread at one moment.
package struct ProcessInfo: Hashable, Sendable {
  package let processID: Int32
  /// The process to which a thread belongs. Equal to `processID` for a process.
  package let threadGroupID: Int32
  package let parentProcessID: Int32
  /// The kernel's short name (`comm`, at most 15 bytes), which the process can change.
  package let command: String
  package let state: State
  /// The time from boot to the start of the process, in clock ticks (`sysconf(_SC_CLK_TCK)`). Pids are reused, but the
  /// pid and this time together identify a process for good.
  package let startTimeInTicks: UInt64
  package let isKernelThread: Bool
  /// Effective user id.
  package let userID: UInt32
  /// The pid in every pid namespace, from ours to the innermost.
  package let namespacedProcessIDs: [Int32]
  package let threadCount: Int

  /// The state letter of `/proc/PID/stat`.
  package enum State: UInt8, Hashable, Sendable {
    case running = 0x52  // R
    case sleeping = 0x53  // S
    case waitingForDisk = 0x44  // D
    case zombie = 0x5a  // Z
    case stopped = 0x54  // T
    case traced = 0x74  // t
    case dead = 0x58  // X
    case idle = 0x49  // I
    case other = 0
  }

  /// The pid in the process's own pid namespace: the one by which the process knows itself.
  package var innermostProcessID: Int32 { namespacedProcessIDs.last ?? processID }

  /// Whether this thread has ended. Memory and files can then not be read by its id, although other threads of the
  /// process may go on.
  package var isThreadOver: Bool { state == .zombie || state == .dead }

  /// Whether the process has ended, and perhaps waits for its parent to collect it: it has no memory, mappings or files
  /// any more. A process whose first thread has ended goes on as long as it has other threads.
  package var hasEnded: Bool { isThreadOver && threadCount <= 1 }

  /// Reads `/proc/PID/stat` and `/proc/PID/status`. Throws an error with `isProcessGone` when there is no such process.
  package init(processID: Int32) throws(ProcessError) {
    let stat = try readFile("/proc/\(processID)/stat")
    let status = try readFile("/proc/\(processID)/status")
    guard let info = ProcessInfo(processID: processID, stat: stat, status: status) else {
      throw ProcessError(operation: "parse", path: "/proc/\(processID)/stat", code: EINVAL)
    }
    self = info
  }

  /// Parses the contents of the two files. Returns nil if `stat` does not have the kernel's form.
  init?(processID: Int32, stat: [UInt8], status: [UInt8]) {
    // The name in parentheses may contain anything, even parentheses and spaces. It ends at the last ")" of the file.
    guard let open = stat.firstIndex(of: UInt8(ascii: "(")),
      let close = stat.lastIndex(of: UInt8(ascii: ")")), open < close
    else { return nil }
    let fields = stat[(close + 1)...].split(whereSeparator: { $0 == 0x20 || $0 == 0x0a })
    // The fields after the name are counted from 0: 0 is the state, 1 the parent's pid, 6 the flags, 17 the number of
    // threads, 19 the start time.
    guard fields.count >= 20, let letter = fields[0].first, let parent = Int32(ascii: fields[1]),
      let flags = UInt64(ascii: fields[6]), let threads = Int(ascii: fields[17]),
      let start = UInt64(ascii: fields[19])
    else { return nil }
    self.processID = processID
    command = String(decoding: stat[(open + 1)..<close], as: UTF8.self)
    state = State(rawValue: letter) ?? .other
    parentProcessID = parent
    isKernelThread = flags & Self.kernelThreadFlag != 0
    threadCount = threads
    startTimeInTicks = start

    var group = processID
    var user: UInt32 = 0
    var namespaced: [Int32] = []
    for line in status.split(separator: 0x0a) {
      guard let colon = line.firstIndex(of: UInt8(ascii: ":")) else { continue }
      let values = line[(colon + 1)...].split(whereSeparator: { $0 == 0x09 || $0 == 0x20 })
      switch String(decoding: line[..<colon], as: UTF8.self) {
      case "Tgid": group = values.first.flatMap(Int32.init(ascii:)) ?? processID
      case "Uid": user = values.dropFirst().first.flatMap(UInt32.init(ascii:)) ?? 0
      case "NSpid": namespaced = values.compactMap(Int32.init(ascii:))
      default: break
      }
    }
    threadGroupID = group
    userID = user
    namespacedProcessIDs = namespaced.isEmpty ? [processID] : namespaced
  }

  /// `PF_KTHREAD` of the kernel's `linux/sched.h`.
  private static let kernelThreadFlag: UInt64 = 0x0020_0000
}

extension FixedWidthInteger {
  /// Parses decimal digits, with a sign where the type has one. Returns nil for anything else and on overflow.
  init?(ascii bytes: some Collection<UInt8>) {
    var value: Self = 0
    var digits = bytes[...]
    let isNegative = Self.isSigned && digits.first == UInt8(ascii: "-")
    if isNegative { digits = digits.dropFirst() }
    guard !digits.isEmpty else { return nil }
    for byte in digits {
      guard byte >= UInt8(ascii: "0"), byte <= UInt8(ascii: "9") else { return nil }
      let (product, overflow) = value.multipliedReportingOverflow(by: 10)
      let digit = Self(byte - UInt8(ascii: "0"))
      let (sum, carry) =
        isNegative
        ? product.subtractingReportingOverflow(digit) : product.addingReportingOverflow(digit)
      guard !overflow, !carry else { return nil }
      value = sum
    }
    self = value
  }
}
