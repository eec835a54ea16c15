import CLibBPF
import Glibc

/// Reads the records that programs write to a ring-buffer map, in the order in which they were reserved.
package final class RingBuffer {
  private let pointer: OpaquePointer
  private let map: BPFMap
  /// The closure that consumed records are given to; it is set for the time of a call only.
  private var handler: ((UnsafeRawBufferPointer) -> Void)?

  package init(map: BPFMap) throws(BPFError) {
    self.map = map
    // The context pointer is the box below, which outlives the buffer.
    let box = Unmanaged.passRetained(Box())
    guard
      let pointer = ring_buffer__new(
        map.descriptor,
        { context, data, size in
          let box = Unmanaged<Box>.fromOpaque(context!).takeUnretainedValue()
          box.owner?.handler?(UnsafeRawBufferPointer(start: data, count: size))
          return 0
        }, box.toOpaque(), nil)
    else {
      box.release()
      throw BPFError(operation: "open ring buffer \(map.name)", code: errno)
    }
    self.pointer = pointer
    self.box = box
    box.takeUnretainedValue().owner = self
  }

  deinit {
    ring_buffer__free(pointer)
    box.release()
  }

  /// Readable when records wait.
  package var pollDescriptor: Int32 { ring_buffer__epoll_fd(pointer) }

  /// Gives every waiting record to `body` without waiting for more.
  package func consume(_ body: (UnsafeRawBufferPointer) -> Void) {
    withoutActuallyEscaping(body) { body in
      handler = body
      _ = ring_buffer__consume(pointer)
      handler = nil
    }
  }

  private let box: Unmanaged<Box>

  private final class Box {
    weak var owner: RingBuffer?
  }
}
