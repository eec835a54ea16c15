import ProcessImage

/// Writes to the stacks of other processes, where the kernel has written before: return probes replace return addresses.
package enum ReturnAddresses {
  /// Puts the return address back that a return probe has replaced. Does nothing if the kernel's address is not there any more.
  ///
  /// - Parameter place: where it lies on the stack of a thread that waits for this.
  /// - Returns: whether it has been put back.
  @discardableResult
  package static func putBack(_ returnAddress: UInt64, at place: UInt64, ofProcess processID: Int32) -> Bool {
    guard let maps = try? ProcessMaps.read(processID: processID),
      let trampolines = maps.first(where: { $0.path == "[uprobes]" }),
      let memory = try? RemoteMemory(processID: processID), let word = memory.value(at: place, as: UInt64.self),
      word >= trampolines.start, word < trampolines.end
    else { return false }
    return writeMemory(of: processID, withUnsafeBytes(of: returnAddress) { Array($0) }, at: place)
  }
}
