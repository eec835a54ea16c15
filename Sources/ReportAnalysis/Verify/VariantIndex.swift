/// Signatures by their frames, so that the variants of one are found without a look at all others.
///
/// Of two variants the shorter one's frames are all in the longer one. So a variant has the other's rarest frame, or is itself so
/// short that all of its frames are in the other: its own rarest frame is one of the other's then.
struct VariantIndex {
  private struct Key: Hashable {
    var kind: [String]
    var frame: String
  }

  /// The places of the signatures that have a frame, rising.
  private var places: [Key: [Int]] = [:]
  /// The places of those whose rarest frame it is.
  private var rarest: [Key: [Int]] = [:]
  private var removed: Set<SiteSignature> = []
  private let all: [SiteSignature]

  init(_ some: [SiteSignature]) {
    all = some.sorted()
    for (place, signature) in all.enumerated() {
      let kind = signature.kind
      for frame in Set(signature.frames) { places[Key(kind: kind, frame: frame), default: []].append(place) }
    }
    for (place, signature) in all.enumerated() {
      if let key = rarestKey(of: signature) { rarest[key, default: []].append(place) }
    }
  }

  var isEmpty: Bool { all.count == removed.count }

  /// In their order.
  var signatures: [SiteSignature] { all.filter { !removed.contains($0) } }

  /// Takes one out that is in the index.
  mutating func remove(_ signature: SiteSignature) { removed.insert(signature) }

  /// Those that are variants of a signature, in their order.
  func variants(of signature: SiteSignature) -> [SiteSignature] {
    let kind = signature.kind
    var candidates: Set<Int> = []
    if let key = rarestKey(of: signature) { candidates.formUnion(places[key] ?? []) }
    for frame in Set(signature.frames) { candidates.formUnion(rarest[Key(kind: kind, frame: frame)] ?? []) }
    return candidates.sorted().map { all[$0] }.filter { !removed.contains($0) && signature.isVariant(of: $0) }
  }

  /// The frame that the fewest of the index have; ties go to the first by name.
  private func rarestKey(of signature: SiteSignature) -> Key? {
    let kind = signature.kind
    return Set(signature.frames).map { Key(kind: kind, frame: $0) }.min {
      (places[$0]?.count ?? 0, $0.frame) < (places[$1]?.count ?? 0, $1.frame)
    }
  }
}
