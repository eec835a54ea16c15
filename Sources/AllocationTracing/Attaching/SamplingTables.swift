import CTraceABI
import Glibc

extension lt_configuration {
  /// Fills in the tables of logarithms and weights that the BPF programs need for sampling and cannot compute themselves.
  package mutating func fillSamplingTables() {
    withUnsafeMutableBytes(of: &log2_table) { bytes in
      let table = bytes.bindMemory(to: UInt32.self)
      for step in 0...Int(LT_LOG_STEPS) {
        table[step] = UInt32((log2(1 + Double(step) / Double(LT_LOG_STEPS)) * 65536).rounded())
      }
    }
    withUnsafeMutableBytes(of: &weight_table) { bytes in
      let table = bytes.bindMemory(to: UInt32.self)
      for step in 0...Int(LT_WEIGHT_STEPS) {
        let x = Double(step) / Double(LT_WEIGHT_STEPS_PER_MEAN)
        table[step] = UInt32(((x == 0 ? 1 : x / -expm1(-x)) * 65536).rounded())
      }
    }
  }
}
