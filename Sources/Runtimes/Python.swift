extension Runtime {
  package static let python = Runtime(
    "Python", libraries: ["libpython"], executables: [.beginning("python")], heap: arenas
  ) { _ in .verdicts("Python") }

  /// Pools of pymalloc, 16 KiB each since 3.10 and one page before (`struct pool_header` of Objects/obmalloc.c).
  private static let arenas = HeapLayout(
    name: "CPython arena", modules: ["python"], alignment: 4096, headerWords: 6
  ) { address, words, _ in
    let sizeClass = words[4] >> 32
    let nextOffset = words[5] & 0xffff_ffff
    let lastOffset = words[5] >> 32
    let blockSize = (sizeClass + 1) * 16
    guard sizeClass < 64, words[4] & 0xffff_ffff < 1 << 24 else { return nil }
    for poolSize in [16384, 4096] as [UInt64] where address % poolSize == 0 {
      let isInside = words[1] == 0 || (address..<address + poolSize).contains(words[1])
      if lastOffset == poolSize - blockSize, nextOffset >= 48, nextOffset <= poolSize, isInside,
        words[0] & 0xffff_ffff <= poolSize / blockSize
      {
        return poolSize
      }
    }
    return nil
  }
}
