extension Runtime {
  /// Workers that serve requests. The memory of a request goes when the request ends.
  package static let phpFPM = Runtime("PHP-FPM", executables: [.beginning("php-fpm")], heap: zend) { _ in
    .growth(
      "PHP-FPM: memory of a request goes at its end, so what stays is an extension's; "
        + "pm.max_requests bounds it meanwhile")
  }

  package static let php = Runtime("PHP", executables: [.beginning("php")], heap: zend) { _ in .verdicts("PHP") }

  /// Chunks of 2 MiB (`struct _zend_mm_chunk` of Zend/zend_alloc.c). The first word points to the heap, which lies behind
  /// the header of the first chunk; the next two words point to the neighbouring chunks.
  private static let zend = HeapLayout(
    name: "Zend chunk", modules: ["php"], alignment: 2 << 20, headerWords: 3
  ) { address, words, memory in
    let chunkSize: UInt64 = 2 << 20
    guard words[0] % chunkSize == 0x40, words[1] != 0, words[1] % chunkSize == 0, words[2] != 0,
      words[2] % chunkSize == 0, memory.value(at: words[0] - 0x40, as: UInt64.self) == words[0]
    else { return nil }
    return chunkSize
  }
}
