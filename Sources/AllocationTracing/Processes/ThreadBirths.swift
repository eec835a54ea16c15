/// Which stacks have created the threads of a process, by the control blocks that the C library gave them.
struct ThreadBirths {
  struct Birth: Hashable {
    /// The function that the thread begins in.
    var start: UInt64
    /// The kernel's site of the stack that called `pthread_create`; nil where there was no place for one.
    var site: UInt32?
  }

  private var begun: [Int32: Birth] = [:]
  /// A control block is used again when its thread is done with.
  private(set) var byControlBlock: [UInt64: Birth] = [:]
  /// Every site of a birth that is known.
  private(set) var sites: Set<UInt32> = []

  /// More are not remembered: processes cannot have many more threads at a time.
  private static let mostBirths = 1 << 16

  mutating func begin(by creator: Int32, _ birth: Birth) {
    if begun.count >= Self.mostBirths { begun = [:] }
    begun[creator] = birth
  }

  /// - Parameter controlBlock: of the new thread; one that was not created by `pthread_create` has any value.
  mutating func end(by creator: Int32, controlBlock: UInt64) {
    guard let birth = begun.removeValue(forKey: creator) else {
      byControlBlock[controlBlock] = nil
      return
    }
    guard byControlBlock.count < Self.mostBirths || byControlBlock[controlBlock] != nil else { return }
    byControlBlock[controlBlock] = birth
    if let site = birth.site { sites.insert(site) }
  }
}
