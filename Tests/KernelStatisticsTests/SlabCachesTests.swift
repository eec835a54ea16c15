import TestTools
import Testing

@testable import KernelStatistics

@Suite struct SlabCachesTests {
  static let text = """
    slabinfo - version: 2.1
    # name            <active_objs> <num_objs> <objsize> <objperslab> <pagesperslab> : tunables <limit> <batchcount> <sharedfactor> : slabdata <active_slabs> <num_slabs> <sharedavail>
    eventpoll_epi        335    544    128   32    1 : tunables    0    0    0 : slabdata     17     17      0
    task_struct          221    280   5888    5    8 : tunables    0    0    0 : slabdata     56     57      0
    dentry            348957 348957    192   21    1 : tunables    0    0    0 : slabdata  16617  16617      0
    name with blanks      10     20     64   64    1 : tunables    0    0    0 : slabdata      1      1      0

    """

  static let links: [(name: String, target: String)] = [
    ("eventpoll_epi", ":0000128"), ("pid", ":0000128"), ("skbuff_small", ":0000128"), ("task_struct", ":0005888"),
    (":0000128", "somewhere"),
  ]

  private let caches = SlabCaches(slabinfo: text, links: links, reclaimable: ["dentry", "pid"])

  @Test func readsWhatTheKernelWrites() throws {
    #expect(caches.caches.map(\.name) == ["eventpoll_epi", "task_struct", "dentry", "name with blanks"])
    let tasks = try #require(caches.cache(named: "task_struct"))
    #expect(tasks.activeObjects == 221)
    #expect(tasks.objects == 280)
    #expect(tasks.objectSizeInBytes == 5888)
    #expect(tasks.slabs == 57)
    #expect(tasks.pagesPerSlab == 8)
    #expect(tasks.sizeInBytes == 57 * 8 * 4096)
    #expect(tasks.activeBytes == 221 * 5888)
  }

  @Test func mergedCachesAreOne() throws {
    for name in ["eventpoll_epi", "pid", "skbuff_small"] {
      #expect(caches.aliases(of: name) == ["eventpoll_epi", "pid", "skbuff_small"])
      #expect(caches.cache(named: name)?.name == "eventpoll_epi")
      #expect(caches.isKnown(name))
      // One of its names says so.
      #expect(caches.isReclaimable(name))
    }
    // A link that nothing else shares is no merger.
    #expect(caches.aliases(of: "task_struct") == ["task_struct"])
    #expect(!caches.isReclaimable("task_struct"))
    #expect(caches.isReclaimable("dentry"))
    #expect(caches.aliases(of: "unknown") == ["unknown"])
    #expect(!caches.isKnown("unknown"))
    #expect(caches.cache(named: "unknown") == nil)
  }

  @Test(arguments: [
    "", "\n\n", "slabinfo - version: 2.1", "name", "a b c : tunables 0 0 0 : slabdata 1 1 0",
    "x 1 2 3 4 : tunables 0 0 0 : slabdata 1 1 0", "x 1 2 3 4 5 : tunables 0 0 0 : slabdata 1",
    "x -1 2 3 4 5 : tunables 0 0 0 : slabdata 1 1 0",
    "x 1 2 99999999999999999999 4 5 : tunables 0 0 0 : slabdata 1 1 0",
    "x 1 2 3 4 5 tunables", "tunables slabdata 1 1 0", "\0\0\0 1 2 3", "x 1 2 3 4 5 : tunables 0 0 0 : slabdata a b c",
  ])
  func brokenLinesAreLeftOut(text: String) {
    #expect(SlabCaches(slabinfo: text).caches.isEmpty)
  }

  /// Numbers that multiply to more than there is room for.
  @Test func enormousNumbersDoNotTrap() {
    let most = "18446744073709551615"
    let caches = SlabCaches(
      slabinfo: "x \(most) \(most) \(most) \(most) \(most) : tunables 0 0 0 : slabdata \(most) \(most) 0\n")
    #expect(caches.caches.count == 1)
    #expect(caches.caches[0].sizeInBytes == .max)
    #expect(caches.caches[0].activeBytes == .max)
  }

  @Test func damagedTextDoesNotTrap() {
    var mutator = Mutator(seed: 1)
    let bytes = Array(Self.text.utf8)
    for _ in 0..<2000 {
      let damaged = mutator.mutate(bytes, focus: [0..<bytes.count])
      let caches = SlabCaches(slabinfo: String(decoding: damaged, as: UTF8.self), links: Self.links)
      for cache in caches.caches { _ = (cache.sizeInBytes, cache.activeBytes, caches.aliases(of: cache.name)) }
    }
  }

  @Test func ofThisHost() throws {
    let caches = SlabCaches.current()
    try #require(!caches.caches.isEmpty, "/proc/slabinfo needs root")
    let dentry = try #require(caches.cache(named: "dentry"))
    #expect(dentry.activeObjects > 0 && dentry.objectSizeInBytes >= 128)
    #expect(caches.isReclaimable("dentry"))
    #expect(!caches.isReclaimable("task_struct"))
  }
}
