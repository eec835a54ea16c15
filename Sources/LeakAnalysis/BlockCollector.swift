/// Outstanding blocks as they come, 24 bytes each, before they are sorted. Cheaper than an array of `LeakBlock` where
/// there are millions.
package struct BlockCollector: ~Copyable {
  package private(set) var count = 0

  package init(capacity: Int = 0) {}

  /// Adds a block. `tag` is handed back with the block's verdict: the index of its site, for example.
  package mutating func append(_ block: LeakBlock, tag: UInt32) {
    preconditionFailure("next commit")
  }
}
