import CProcessControl
import Glibc
import ProcessControl
import ProcessImage
import SystemSupport
import TraceModel

/// A process that stands still while a gate is made or taken off.
package struct StoppedTarget {
  package var processID: Int32
  package var threads: [StoppedThread]
  /// In ascending order, as they are while it stands still.
  package var mappings: [Mapping]
  package var calls: RemoteCalls

  package init(processID: Int32, threads: [StoppedThread], mappings: [Mapping], calls: RemoteCalls) {
    self.processID = processID
    self.threads = threads
    self.mappings = mappings
    self.calls = calls
  }
}

/// Why a gate was not made.
package enum GateFailure: Error, CustomStringConvertible {
  /// A thread stands where the code is to be changed, or could not be stopped: another moment may do.
  case busy
  case refused(String)

  package var description: String {
    switch self {
    case .busy: "its threads did not come to a place where its code can be changed"
    case .refused(let reason): reason
    }
  }
}

/// A gate in one process, from the moment at which its memory is mapped.
package final class InstalledGate {
  package let plan: GatePlan
  /// The file of its code, which the process and its children have mapped.
  private let file: OpenFile
  /// Whether its memory was there already.
  private let isReused: Bool

  init(plan: GatePlan, file: consuming OpenFile, isReused: Bool = false) {
    self.plan = plan
    self.file = file
    self.isReused = isReused
  }

  /// A path by which probes are put into its code.
  package var path: String { "/proc/self/fd/\(file.descriptor)" }

  // MARK: Mapping

  /// The name that the kernel shows for its memory.
  package static let name = "leaktrace-gate"

  /// Maps the memory of a gate in a stopped process. No code of the process leads there yet.
  package static func map(_ plan: GatePlan, in target: StoppedTarget) throws(GateFailure) -> InstalledGate {
    let calls = target.calls
    do throws(RemoteCalls.Failure) {
      let number = try makeFile(calls)
      defer { _ = try? calls.call("close", Int(SYS_close), number) }
      let file = try fill(number, of: target.processID, with: plan.file)
      let layout = plan.layout
      try map(
        calls, at: layout.start, bytes: GateLayout.codeBytes, PROT_READ | PROT_EXEC, file: number, offset: 0)
      do throws(RemoteCalls.Failure) {
        try map(
          calls, at: layout.data, bytes: GatePlan.constantBytes, PROT_READ | PROT_WRITE, file: number,
          offset: GateLayout.codeBytes)
        try map(
          calls, at: layout.filter, bytes: layout.end &- layout.filter, PROT_READ | PROT_WRITE, file: nil, offset: 0)
      } catch {
        unmap(layout, calls)
        throw error
      }
      return InstalledGate(plan: plan, file: file)
    } catch { throw .refused("\(error)") }
  }

  private static func makeFile(_ calls: RemoteCalls) throws(RemoteCalls.Failure) -> UInt64 {
    let name = try calls.place(text: name)
    // MFD_CLOEXEC and MFD_ALLOW_SEALING; and MFD_EXEC, which kernels before 6.3 do not know.
    let flags: UInt64 = 1 | 2
    if let number = try? calls.call("memfd_create", Int(SYS_memfd_create), name, flags | 0x10) { return number }
    return try calls.call("memfd_create", Int(SYS_memfd_create), name, flags)
  }

  /// Writes the file and seals it: whoever else has a descriptor of it cannot change what will be probed.
  private static func fill(
    _ number: UInt64, of processID: Int32, with bytes: [UInt8]
  ) throws(RemoteCalls.Failure) -> OpenFile {
    let path = "/proc/\(processID)/fd/\(number)"
    let descriptor = Glibc.open(path, O_RDWR | O_CLOEXEC)
    guard descriptor >= 0 else { throw RemoteCalls.Failure(call: "open \(path)", code: errno) }
    let file = OpenFile(owning: descriptor)
    var status = stat()
    guard fstat(descriptor, &status) == 0, status.st_mode & S_IFMT == S_IFREG, status.st_size == 0 else {
      throw RemoteCalls.Failure(call: "open \(path)", code: EINVAL)
    }
    guard pwrite(descriptor, bytes, bytes.count, 0) == bytes.count else {
      throw RemoteCalls.Failure(call: "write the gate", code: errno)
    }
    guard cprocess_seal(descriptor) == 0 else { throw RemoteCalls.Failure(call: "seal the gate", code: EPERM) }
    return file
  }

  private static func map(
    _ calls: RemoteCalls, at address: UInt64, bytes: UInt64, _ protection: Int32, file: UInt64?, offset: UInt64
  ) throws(RemoteCalls.Failure) {
    // MAP_FIXED_NOREPLACE, which kernels before 4.17 take for a hint.
    var flags = UInt64(MAP_PRIVATE) | 0x100000
    if file == nil { flags |= UInt64(MAP_ANONYMOUS | MAP_NORESERVE) }
    let got = try calls.call(
      "mmap", Int(SYS_mmap), address, bytes, UInt64(protection), flags, file ?? UInt64.max, offset)
    guard got == address else {
      _ = try? calls.call("munmap", Int(SYS_munmap), got, bytes)
      throw RemoteCalls.Failure(call: "mmap", code: EEXIST)
    }
  }

  private static func unmap(_ layout: GateLayout, _ calls: RemoteCalls) {
    // What was not mapped is nobody's: it was free a moment ago, and the process stands still.
    _ = try? calls.call("munmap", Int(SYS_munmap), layout.start, layout.end &- layout.start)
  }

  /// Takes the memory off again. Only before the process's code has been led there.
  package func unmap(in target: StoppedTarget) {
    if !isReused { Self.unmap(plan.layout, target.calls) }
  }

  /// Makes the data of a gate that was there already as that of a new one. Nobody is inside.
  private func renew(in target: StoppedTarget) throws(GateFailure) {
    let layout = plan.layout
    let data = Array(plan.file.dropFirst(Int(GateLayout.codeBytes)))
    guard writeMemory(of: target.processID, data, at: layout.data) else {
      throw .refused("its memory cannot be written to")
    }
    do throws(RemoteCalls.Failure) {
      try target.calls.call(
        "madvise", Int(SYS_madvise), layout.filter, layout.end &- layout.filter, UInt64(MADV_DONTNEED))
    } catch { throw .refused("\(error)") }
  }

  // MARK: Opening and closing

  /// Leads the process's functions through the gate. Throws when a thread stands in the way.
  package func open(in target: StoppedTarget) throws(GateFailure) {
    guard let memory = try? RemoteMemory(processID: target.processID) else { throw .refused("it has ended") }
    for function in plan.functions {
      guard memory.bytes(at: function.patchAddress, count: EntryCode.jumpLength) == function.original else {
        throw .refused("the code of \(function.function.name) was changed in memory")
      }
    }
    var dangerous = plan.functions.map(\.dangerous)
    if isReused { dangerous.append(plan.layout.start..<plan.layout.data) }
    let positions = ThreadPositions(threads: target.threads, memory: memory, mappings: target.mappings)
    guard positions.avoid(dangerous) else { throw .busy }
    if isReused { try renew(in: target) }
    for (index, function) in plan.functions.enumerated() {
      guard CodeWriter.write(plan.jumps[index], at: function.patchAddress, target) else {
        close(in: target)
        throw .refused("its code cannot be written to")
      }
    }
  }

  /// Leads the process's functions where their files do. The gate's memory stays: a thread may still be in it.
  package func close(in target: StoppedTarget) {
    guard let memory = try? RemoteMemory(processID: target.processID) else { return }
    for (jump, function) in zip(plan.jumps, plan.functions)
    where memory.bytes(at: function.patchAddress, count: jump.count) == jump {
      _ = CodeWriter.write(function.original, at: function.patchAddress, target)
    }
  }
}
