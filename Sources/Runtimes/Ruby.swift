extension Runtime {
  package static let ruby = Runtime(
    "Ruby", libraries: ["libruby"], executables: [.beginning("ruby")], heap: heapPages
  ) { _ in .verdicts("Ruby") }

  /// Heap pages of 64 KiB (gc.c). The first word points to the page's description, which says where the objects begin.
  private static let heapPages = HeapLayout(
    name: "Ruby heap page", modules: ["ruby"], alignment: 65536, headerWords: 1
  ) { address, words, memory in
    guard words[0] > 4096, words[0] & 7 == 0 else { return nil }
    let description = memory.words(at: words[0], count: 10)
    guard let slotSize = description.first.map({ $0 & 0xffff }), slotSize >= 40, slotSize <= 1280, slotSize % 8 == 0,
      description.contains(where: { $0 > address && $0 <= address + 2048 })
    else { return nil }
    return 65536
  }
}
