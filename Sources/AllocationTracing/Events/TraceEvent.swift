import CTraceABI

/// What the BPF programs report of traced processes, decoded from the ring buffer.
enum TraceEvent: Equatable {
  /// A block was allocated or freed. Reported only while events are printed.
  case block(Block)
  case forked(Fork)
  case executed(processID: Int32, generation: UInt32)
  /// The last thread of the process is gone.
  case exited(processID: Int32)
  /// A thread has got its first site.
  case threadNamed(processID: Int32, threadID: Int32, name: String)
  /// The dynamic loader has mapped or unmapped objects, and the process waits for an answer to this change.
  case loaded(processID: Int32, change: UInt64)
  /// An exception is about to leave a call that has a return probe, and waits for the return address to be put back.
  case raised(processID: Int32, change: UInt64, place: UInt64, returnAddress: UInt64)
  case addressSpace(AddressSpaceEvent)
  /// The table of blocks is filling.
  case tableFilling
  /// A thread is about to create another one, which begins at an address. `site` is nil where its stack has none.
  case creatingThread(slot: UInt32, processID: Int32, creator: Int32, start: UInt64, site: UInt32?)
  /// It has done so. The C library knows the new thread by its control block.
  case createdThread(slot: UInt32, processID: Int32, creator: Int32, controlBlock: UInt64)

  /// A process to attach to: the child of a traced process, or of one that is to be attached to itself.
  struct Fork: Equatable {
    var child: Int32
    var parentSlot: UInt32
    /// CLOCK_MONOTONIC nanoseconds. Tells it from another process that has the same id later.
    var time: UInt64
    /// Whether it waits until it is attached to.
    var isHeld = false
    /// Whether it has begun to run another program than its parent.
    var hasExecuted = false
    /// Whether it runs in its parent's memory (vfork).
    var sharesMemory = false
  }

  struct Block: Equatable {
    var isFree: Bool
    var processID: Int32
    var threadID: Int32
    /// CLOCK_MONOTONIC nanoseconds.
    var time: UInt64
    var address: UInt64
    var sizeInBytes: UInt64
    var probe: UInt32
  }

  struct AddressSpaceEvent: Equatable {
    var processID: Int32
    var slot: UInt32
    /// Index of the site that made the change; nil when the call came from inside an allocator.
    var site: UInt32?
    /// CLOCK_MONOTONIC nanoseconds.
    var time: UInt64
    var change: AddressSpaceChange
  }

  /// nil for an unknown kind of event.
  init?(_ event: lt_event) {
    let processID = Int32(bitPattern: event.process_id)
    let threadID = Int32(bitPattern: event.thread_id)
    let change: AddressSpaceChange
    switch lt_event_kind(rawValue: event.kind) {
    case LT_EVENT_ALLOCATED, LT_EVENT_FREED:
      self = .block(
        Block(
          isFree: event.kind == LT_EVENT_FREED.rawValue, processID: processID, threadID: threadID, time: event.time,
          address: event.address, sizeInBytes: event.size, probe: event.probe))
      return
    case LT_EVENT_FORK:
      let flags = UInt32(truncatingIfNeeded: event.size)
      self = .forked(
        Fork(
          child: Int32(truncatingIfNeeded: event.address), parentSlot: event.process_slot, time: event.time,
          isHeld: flags & LT_FORK_IS_HELD.rawValue != 0, hasExecuted: flags & LT_FORK_HAS_EXECUTED.rawValue != 0,
          sharesMemory: flags & LT_FORK_SHARES_MEMORY.rawValue != 0))
      return
    case LT_EVENT_EXEC:
      self = .executed(processID: processID, generation: UInt32(truncatingIfNeeded: event.address))
      return
    case LT_EVENT_EXIT:
      self = .exited(processID: processID)
      return
    case LT_EVENT_THREAD:
      let name = withUnsafeBytes(of: (event.address, event.size)) { bytes in
        String(decoding: bytes.prefix { $0 != 0 }, as: UTF8.self)
      }
      self = .threadNamed(processID: processID, threadID: threadID, name: name)
      return
    case LT_EVENT_LOADED:
      self = .loaded(processID: processID, change: event.address)
      return
    case LT_EVENT_RAISED:
      self = .raised(
        processID: processID, change: event.size, place: event.address, returnAddress: event.other_address)
      return
    case LT_EVENT_FILLING:
      self = .tableFilling
      return
    case LT_EVENT_CREATE:
      self = .creatingThread(
        slot: event.process_slot, processID: processID, creator: threadID, start: event.address,
        site: event.site == .max ? nil : event.site)
      return
    case LT_EVENT_BORN:
      self = .createdThread(
        slot: event.process_slot, processID: processID, creator: threadID, controlBlock: event.address)
      return
    case LT_EVENT_MAP: change = .map(start: event.address, size: event.size)
    case LT_EVENT_UNMAP: change = .unmap(start: event.address, size: event.size)
    case LT_EVENT_REMAP:
      change = .remap(
        oldStart: event.other_address, oldSize: event.other_size, newStart: event.address, newSize: event.size)
    case LT_EVENT_BREAK: change = .programBreak(event.address)
    default: return nil
    }
    self = .addressSpace(
      AddressSpaceEvent(
        processID: processID, slot: event.process_slot, site: event.site == .max ? nil : event.site, time: event.time,
        change: change))
  }
}

/// One call that changed a process's address space. Addresses and sizes are those of the call, not rounded to pages.
enum AddressSpaceChange: Equatable {
  case map(start: UInt64, size: UInt64)
  case unmap(start: UInt64, size: UInt64)
  case remap(oldStart: UInt64, oldSize: UInt64, newStart: UInt64, newSize: UInt64)
  /// The program break: the new end of the program's data.
  case programBreak(UInt64)
}
