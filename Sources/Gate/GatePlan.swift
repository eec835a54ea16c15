import Glibc
import ProcessImage
import TraceModel

/// The gate for the allocator functions of one object in one process: what is mapped there, and what is written.
package struct GatePlan {
  package let layout: GateLayout
  package let selection: GateSelection
  package let functions: [GateFunction]
  package let places: [GatePlace]
  /// What the file holds: the code, and behind it the constants.
  let file: [UInt8]
  /// The jumps, in the order of the functions.
  let jumps: [[UInt8]]

  /// Buckets of the table of chosen blocks: for samples, and for all blocks of some sizes.
  private static func bucketBits(_ selection: GateSelection) -> UInt8 { selection.sampling == .none ? 17 : 13 }

  /// nil when there is no room for it near the object.
  ///
  /// - Parameters:
  ///   - range: the object's addresses.
  ///   - mappings: of the process, in ascending order.
  package init?(
    functions: [GateFunction], selection: GateSelection, object range: Range<UInt64>, mappings: [Mapping]
  ) {
    let size = GateLayout.codeBytes &+ GateLayout(start: 0, bucketBits: Self.bucketBits(selection)).dataBytes
    guard let start = GatePlacement.find(bytes: size, below: range, mappings: mappings) else { return nil }
    self.init(functions: functions, selection: selection, start: start)
  }

  /// The same at a given address.
  package init?(functions: [GateFunction], selection: GateSelection, start: UInt64) {
    let layout = GateLayout(start: start, bucketBits: Self.bucketBits(selection))
    guard let code = GateCode(layout: layout, selection: selection, functions: functions) else { return nil }
    self.layout = layout
    self.selection = selection
    self.functions = functions
    places = code.places.map { place in
      GatePlace(role: place.role, probe: place.probe, offset: GateLayout.headerBytes &+ place.offset)
    }
    guard let image = GateFile.image(code) else { return nil }
    file = image + Self.constants(selection)
    jumps = zip(functions, code.entries).map { function, entry in
      let distance = layout.code &+ UInt64(entry) &- (function.patchAddress &+ UInt64(EntryCode.jumpLength))
      let bytes = withUnsafeBytes(of: UInt32(truncatingIfNeeded: distance).littleEndian) { Array($0) }
      return [0xe9] + bytes
    }
  }

  /// The file's part that is mapped as code is followed by so much that is mapped as data.
  static let constantBytes = 0x1000 + 8 * GateLayout.gapCount

  private static func constants(_ selection: GateSelection) -> [UInt8] {
    var words = [UInt64](repeating: 0, count: 512)
    words[1] = UInt64.random(in: .min ... .max)
    words[2] = selection.sizes.lowerBound
    words[3] = selection.sizes.upperBound
    words += gaps(selection)
    return words.withUnsafeBytes { Array($0) }
  }

  /// The quantiles in the middle of 1,024 equal parts of the distribution of what lies between two samples: exponential in
  /// bytes, geometric in calls. Scaled, so that their mean is the distribution's.
  static func gaps(_ selection: GateSelection) -> [UInt64] {
    let count = Int(GateLayout.gapCount)
    let quantiles = (0..<count).map { -log(1 - (Double($0) + 0.5) / Double(count)) }
    let mean = quantiles.reduce(0, +) / Double(count)
    switch selection.sampling {
    case .none: return [UInt64](repeating: 0, count: count)
    case .bytes(let wanted): return quantiles.map { UInt64(min($0 / mean * Double(wanted), 1e18)) }
    case .calls(let every):
      // How many calls are not chosen before one is.
      guard every > 1 else { return [UInt64](repeating: 0, count: count) }
      let rate = -log(1 - 1 / Double(every))
      return quantiles.map { UInt64(min(($0 / rate).rounded(.down), 1e18)) }
    }
  }
}
