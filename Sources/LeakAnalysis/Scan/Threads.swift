import Glibc
import Synchronization

private final class ThreadStart {
  let body: @Sendable (Int) -> Void
  let number: Int
  init(body: @escaping @Sendable (Int) -> Void, number: Int) {
    self.body = body
    self.number = number
  }
}

/// Calls `body` with 0 to `count` − 1, each on a thread of its own (0 on the caller's), and returns when all have ended.
package func onThreads(_ count: Int, _ body: @Sendable (Int) -> Void) {
  withoutActuallyEscaping(body) { body in
    var threads: [pthread_t] = []
    for number in stride(from: 1, to: count, by: 1) {
      var thread = pthread_t()
      let start = Unmanaged.passRetained(ThreadStart(body: body, number: number))
      let result = pthread_create(
        &thread, nil,
        { argument in
          let start = Unmanaged<ThreadStart>.fromOpaque(argument!).takeRetainedValue()
          start.body(start.number)
          return nil
        }, start.toOpaque())
      if result == 0 {
        threads.append(thread)
      } else {
        start.release()
        body(number)
      }
    }
    body(0)
    for thread in threads { pthread_join(thread, nil) }
  }
}

/// Hands out numbers from 0 to several threads.
final class SharedCounter: Sendable {
  private let next = Atomic(0)

  /// The next `count` numbers.
  func take(_ count: Int) -> Range<Int> {
    let start = next.add(count, ordering: .relaxed).oldValue
    return start..<start + count
  }
}
