import Glibc
import ProcessImage

/// One slab cache as `/proc/slabinfo` shows it.
package struct SlabCache: Hashable, Sendable {
  package var name: String
  package var activeObjects: UInt64
  package var objects: UInt64
  /// Bytes that an object takes in its slab.
  package var objectSizeInBytes: UInt64
  package var slabs: UInt64
  package var pagesPerSlab: UInt64

  /// Bytes of all its slabs.
  package var sizeInBytes: UInt64 { Self.product(Self.product(slabs, pagesPerSlab), 4096) }
  package var activeBytes: UInt64 { Self.product(activeObjects, objectSizeInBytes) }

  /// Saturating.
  private static func product(_ left: UInt64, _ right: UInt64) -> UInt64 {
    let (result, overflow) = left.multipliedReportingOverflow(by: right)
    return overflow ? .max : result
  }

  package init(
    name: String, activeObjects: UInt64, objects: UInt64, objectSizeInBytes: UInt64, slabs: UInt64,
    pagesPerSlab: UInt64
  ) {
    self.name = name
    self.activeObjects = activeObjects
    self.objects = objects
    self.objectSizeInBytes = objectSizeInBytes
    self.slabs = slabs
    self.pagesPerSlab = pagesPerSlab
  }
}

/// The kernel's slab caches and the names that merged ones share.
package struct SlabCaches: Sendable {
  package private(set) var caches: [SlabCache] = []
  /// Every name of a cache by each of them, itself included; caches that were not merged are missing.
  private var namesSharing: [String: [String]] = [:]
  private var reclaimable: Set<String> = []

  /// - Parameters:
  ///   - slabinfo: text of `/proc/slabinfo`, format 2.x.
  ///   - directory: pairs of a name in `/sys/kernel/slab` and the name that it links to.
  ///   - reclaimable: names of caches whose `reclaim_account` is 1.
  package init(slabinfo: String, links: [(name: String, target: String)] = [], reclaimable: Set<String> = []) {
    for line in slabinfo.split(separator: "\n") where !line.hasPrefix("#") && !line.hasPrefix("slabinfo") {
      let fields = line.split(separator: " ", omittingEmptySubsequences: true)
      // A name may hold blanks; the numbers are counted from ": tunables" and ": slabdata".
      guard let tunables = fields.firstIndex(of: "tunables"), tunables >= 7,
        let data = fields.firstIndex(of: "slabdata"), data + 2 < fields.count,
        let active = UInt64(fields[tunables - 6]), let objects = UInt64(fields[tunables - 5]),
        let size = UInt64(fields[tunables - 4]), let pages = UInt64(fields[tunables - 2]),
        let slabs = UInt64(fields[data + 2])
      else { continue }
      caches.append(
        SlabCache(
          name: fields[..<(tunables - 6)].joined(separator: " "), activeObjects: active, objects: objects,
          objectSizeInBytes: size, slabs: slabs, pagesPerSlab: pages))
    }
    var groups: [String: [String]] = [:]
    for link in links where !link.name.hasPrefix(":") { groups[link.target, default: []].append(link.name) }
    for names in groups.values where names.count > 1 {
      let sorted = names.sorted()
      for name in sorted { namesSharing[name] = sorted }
    }
    self.reclaimable = reclaimable
  }

  /// The caches of the running kernel; empty where we may not read them.
  package static func current() -> SlabCaches {
    let text = (try? readFile("/proc/slabinfo")).map { String(decoding: $0, as: UTF8.self) } ?? ""
    var links: [(name: String, target: String)] = []
    var reclaimable: Set<String> = []
    let root = "/sys/kernel/slab"
    if let directory = opendir(root) {
      defer { closedir(directory) }
      while let entry = readdir(directory) {
        let name = withUnsafeBytes(of: entry.pointee.d_name) {
          String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self)
        }
        guard !name.hasPrefix(".") else { continue }
        if let target = readLink(root + "/" + name) { links.append((name, target)) }
        if let flag = try? readFile("\(root)/\(name)/reclaim_account", limit: 16), flag.first == UInt8(ascii: "1") {
          reclaimable.insert(name)
        }
      }
    }
    return SlabCaches(slabinfo: text, links: links, reclaimable: reclaimable)
  }

  /// Every name of the cache that `name` is one of, `name` itself included.
  package func aliases(of name: String) -> [String] { namesSharing[name] ?? [name] }

  package func isReclaimable(_ name: String) -> Bool { aliases(of: name).contains { reclaimable.contains($0) } }

  package func isKnown(_ name: String) -> Bool {
    namesSharing[name] != nil || caches.contains { $0.name == name }
  }

  /// The cache's line in slabinfo, under whichever of its names it is there.
  package func cache(named name: String) -> SlabCache? {
    let names = aliases(of: name)
    return caches.first { names.contains($0.name) }
  }
}
