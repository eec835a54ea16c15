import CTraceABI

/// One event of the probe with a copy of the stack, valid during the call that hands it out.
package struct ProbeSample: ~Copyable {
  package let record: UnsafeRawBufferPointer
  private var header: UnsafePointer<lt_probe_sample> {
    record.baseAddress!.assumingMemoryBound(to: lt_probe_sample.self)
  }

  init?(_ record: UnsafeRawBufferPointer) {
    guard record.count >= MemoryLayout<lt_probe_sample>.size else { return nil }
    self.record = record
  }

  package var processID: Int32 { Int32(bitPattern: header.pointee.process_id) }
  package var outcome: UInt32 { header.pointee.outcome }
  package var slot: UInt32 { header.pointee.process_slot }
  /// Identifies the mappings that the walker used; 0 if it knew none.
  package var addressSpace: UInt32 { header.pointee.address_space }
  package var isReturn: Bool { header.pointee.pc_kind != 0 }
  package var pointer: UnsafePointer<lt_probe_sample> { header }

  /// The stack that the walker found, leaf first.
  package var frames: [UInt64] {
    withUnsafeBytes(of: header.pointee.frames) { bytes in
      Array(bytes.bindMemory(to: UInt64.self).prefix(Int(header.pointee.depth)))
    }
  }
}
