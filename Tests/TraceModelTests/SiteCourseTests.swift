import Testing
import TraceModel

@Suite struct SiteCourseTests {
  private func site(_ bytes: UInt64, _ word: GrowthEvidence.Word = .unclear, slope: Double = 0) -> AllocationSite {
    var site = AllocationSite(
      processID: 1, allocationClass: .heap, allocator: "malloc", outstanding: Tally(bytes: bytes, count: 1),
      allocated: Tally(bytes: bytes, count: 1), freed: Tally(),
      stack: StackTrace(addresses: [], completeness: .complete))
    site.growth = GrowthEvidence(
      word: word, slopeInBytesPerSecond: slope, lowerSlope: 0, upperSlope: 0, confidence: 0.95, windows: 12,
      generationsAlive: 1, survival: nil)
    return site
  }

  /// What comes first has a course, and so have the largest and the fastest that come late.
  @Test func thoseThatMatterAreChosen() {
    var sites = (0..<100).map { (index: Int) -> AllocationSite in site(UInt64(1000 + index)) }
    sites[50] = site(10, .growing, slope: 5)
    sites[51] = site(10, .plateau, slope: 500)
    sites[52] = site(9_000_000)
    let chosen = SiteCourse.chosen(of: sites)
    #expect(chosen.isSuperset(of: 0..<20))
    #expect(chosen.contains(50))
    #expect(!chosen.contains(51))
    #expect(chosen.contains(52))
    #expect(chosen.count == 20 + 20 + 1)
    #expect(SiteCourse.chosen(of: []).isEmpty)
  }

  @Test func noMoreThanThreeTimesTheLimit() {
    let sites = (0..<1000).map { (index: Int) -> AllocationSite in
      let slope = (index * 7919) % 1000
      return site(UInt64(index), .growing, slope: Double(slope))
    }
    #expect(SiteCourse.chosen(of: sites).count <= 3 * SiteCourse.maximumSites)
  }
}
