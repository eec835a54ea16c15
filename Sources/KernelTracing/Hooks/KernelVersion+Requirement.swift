import SystemSupport

extension KernelVersion {
  /// Throws what to tell the user where the kernel is too old. An unknown version passes: the kernel itself refuses what it
  /// lacks.
  static func require(_ version: KernelVersion?) throws(Refusal) {
    guard let version, version < minimum else { return }
    throw Refusal(
      "tracing the kernel needs Linux \(minimum) or later, and this is \(version): its BPF programs have no atomic "
        + "exchange; `leaktrace kernel --where` does without")
  }
}
