extension Runtime {
  package static let node = Runtime(
    "Node", libraries: ["libnode.so"], executables: [.exactly("node"), .exactly("nodejs")], heap: v8
  ) { _ in
    .growth("Node: this sees buffers, add-ons and the pages of V8; for JavaScript objects take a heap snapshot")
  }

  /// Pages of 256 KiB and larger ones, which begin with their size and say where their objects lie (`BasicMemoryChunk` of
  /// V8 up to 11).
  private static let v8 = HeapLayout(
    name: "V8 page", modules: ["node", "libv8", "chrom", "electron", "deno"], alignment: 1 << 18, headerWords: 10
  ) { address, words, _ in
    let size = words[0]
    guard size >= 4096, size % 4096 == 0, size <= 1 << 32 else { return nil }
    for index in 2..<9 where words[index] > address && words[index] <= address + (1 << 16) {
      if words[index + 1] > words[index], words[index + 1] <= address + size { return size }
    }
    return nil
  }
}
