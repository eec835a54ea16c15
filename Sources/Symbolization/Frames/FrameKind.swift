import CTraceABI

/// What a word of a recorded stack is, by its upper bits (`frame_abi.h`).
enum FrameKind: Hashable, Sendable {
  /// An address of user space.
  case native
  case kernel
  /// A frame that one runtime alone can read, with what it knows it by.
  case runtime(UInt32)
  /// Of no kind that there is.
  case unknown

  init(ofWord word: UInt64) {
    switch lt_frame_kind_of(word) {
    case LT_FRAME_NATIVE.rawValue: self = .native
    case LT_FRAME_KERNEL.rawValue: self = .kernel
    case LT_FRAME_FIRST_RUNTIME.rawValue...LT_FRAME_LAST_RUNTIME.rawValue: self = .runtime(lt_frame_kind_of(word))
    default: self = .unknown
    }
  }
}
