import CProcessControl
import ProcessImage

/// Keeps system calls from returning EINTR for no other reason than that a thread was stopped.
package enum SystemCallRestart {
  /// For a thread that the calling thread has stopped. Calls that had a time limit begin it anew.
  package static func undo(_ thread: Int32, of processID: Int32) {
    var descriptor: Int32 = -1
    guard cprocess_restart_interrupted_call(thread, &descriptor) == Int32(CPROCESS_SOCKET_CALL.rawValue) else { return }
    // Only of sockets it is known that a call interrupted so has had no effect.
    guard readLink("/proc/\(processID)/fd/\(descriptor)")?.hasPrefix("socket:") == true else { return }
    _ = cprocess_restart_call(thread)
  }
}
