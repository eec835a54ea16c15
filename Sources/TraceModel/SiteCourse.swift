/// What a site held through the run, in windows of equal length: for a curve. Windows in which its process was not looked at
/// are missing.
package struct SiteCourse: Hashable, Codable, Sendable {
  /// Only so many sites of a report have a course: those that come first, and as many of the largest and of those that grow
  /// fastest.
  package static let maximumSites = 20

  /// The middle of each window, from the beginning of the trace; rising.
  package var seconds: [Double]
  /// The least that the site held in each window: what is freed again within a window is no growth.
  package var bytes: [UInt64]

  package init(seconds: [Double], bytes: [UInt64]) {
    self.seconds = seconds
    self.bytes = bytes
  }

  /// The places among the sites of those that get a course.
  package static func chosen(of sites: [AllocationSite]) -> Set<Int> {
    let growing = sites.indices.filter { sites[$0].growth?.word == .growing }
      .sorted { slope(sites[$0]) > slope(sites[$1]) }
    let largest = sites.indices.sorted { sites[$0].outstanding.bytes > sites[$1].outstanding.bytes }
    return Set(sites.indices.prefix(maximumSites)).union(largest.prefix(maximumSites)).union(
      growing.prefix(maximumSites))
  }

  private static func slope(_ site: AllocationSite) -> Double { site.growth?.slopeInBytesPerSecond ?? 0 }
}
