import CCompression
import Glibc

/// gzip, by zlib.
package enum Gzip {
  package static func compress(_ bytes: [UInt8]) -> [UInt8] {
    let capacity = ccompression_gzip_bound(bytes.count)
    return [UInt8](unsafeUninitializedCapacity: capacity) { buffer, count in
      let written = bytes.withUnsafeBufferPointer { input -> Int64 in
        var nothing: UInt8 = 0
        return withUnsafePointer(to: &nothing) { empty in
          ccompression_gzip(input.baseAddress ?? empty, input.count, buffer.baseAddress!, buffer.count)
        }
      }
      precondition(written >= 0, "out of memory")
      count = Int(written)
    }
  }

  /// nil when the bytes are no whole gzip stream or hold more than `limit` bytes.
  package static func decompress(_ bytes: [UInt8], limit: Int) -> [UInt8]? {
    var output: UnsafeMutablePointer<UInt8>?
    let count = bytes.withUnsafeBufferPointer { input -> Int64 in
      guard let start = input.baseAddress else { return -1 }
      return ccompression_gunzip(start, input.count, limit, &output)
    }
    guard count >= 0, let output else { return nil }
    defer { free(output) }
    return Array(UnsafeBufferPointer(start: output, count: Int(count)))
  }

  package static func isCompressed(_ bytes: [UInt8]) -> Bool { bytes.starts(with: [0x1f, 0x8b]) }
}
