/// What is known of a site in the kernel beside its numbers.
package struct KernelSiteDetails: Hashable, Codable, Sendable {
  /// The slab cache that the blocks are from; nil for what is not slab.
  package var cache: String?
  /// Other names of the same cache: the kernel merges caches whose objects are alike.
  package var aliases: [String]
  /// Whether the kernel gives the objects back when memory is short.
  package var isReclaimable: Bool
  /// For which processes the outstanding blocks were allocated, largest first.
  package var processes: [Share]
  /// Blocks whose address was handed out again without a free being seen: so many frees at least are invisible here.
  package var reusedCount: UInt64
  /// What of it was allocated before the call stacks of its caller were recorded: of that only the caller is known; nil where
  /// that is nothing.
  package var earlier: Tally?
  /// Why the site may be no leak although blocks are outstanding; nil when nothing speaks against one.
  package var doubt: String?
  /// Whether its growth made its callers' stacks worth taking.
  package var isSuspect: Bool

  package struct Share: Hashable, Codable, Sendable {
    /// The process id; 0 for interrupts, which work for no process.
    package var processID: Int32
    /// nil when the process ended and its name was not kept.
    package var command: String?
    package var outstanding: Tally
    package init(processID: Int32, command: String?, outstanding: Tally) {
      self.processID = processID
      self.command = command
      self.outstanding = outstanding
    }
  }

  package init(
    cache: String? = nil, aliases: [String] = [], isReclaimable: Bool = false, processes: [Share] = [],
    reusedCount: UInt64 = 0, doubt: String? = nil, isSuspect: Bool = false
  ) {
    self.cache = cache
    self.aliases = aliases
    self.isReclaimable = isReclaimable
    self.processes = processes
    self.reusedCount = reusedCount
    self.doubt = doubt
    self.isSuspect = isSuspect
  }
}

/// What the kernel itself says of its memory, beside what was traced.
package struct KernelMemorySummary: Hashable, Codable, Sendable {
  /// Where the memory of the host is; the lines add up to all of it.
  package var shares: [Share]
  /// Caches whose use changed most, by the kernel's own count and by the trace.
  package var caches: [CacheChange]
  /// What is outstanding by the trace but belongs to no leak, by a name, left out of the sites.
  package var leftOut: [LeftOut]
  /// What was not recorded on purpose, and what happened beside.
  package var counters: [Report.LossCounter]
  /// What is outstanding in the sites by the process that asked for it, largest first.
  package var processes: [KernelSiteDetails.Share]
  /// How each event of the kernel is seen.
  package var hooks: [Hook]
  /// Memory that grew and that the trace does not account for, in sentences.
  package var findings: [String]
  /// Largest slab caches and users of vmalloc; filled only when where memory is was asked for, and not for a trace.
  package var slabUse: [Use] = []
  package var vmallocUse: [Use] = []

  package struct Share: Hashable, Codable, Sendable {
    package var name: String
    package var bytes: UInt64
    /// Since the trace began; nil without a trace.
    package var change: Int64?
    /// Outstanding by the trace; nil where none was made of it.
    package var traced: UInt64?
    package var isKernel: Bool
    package init(name: String, bytes: UInt64, change: Int64? = nil, traced: UInt64? = nil, isKernel: Bool) {
      self.name = name
      self.bytes = bytes
      self.change = change
      self.traced = traced
      self.isKernel = isKernel
    }
  }

  package struct CacheChange: Hashable, Codable, Sendable {
    package var name: String
    package var bytes: UInt64
    /// Change of active objects by the kernel's count, which takes objects of a CPU's own slab for active.
    package var activeChange: Int64
    /// Blocks outstanding by the trace.
    package var traced: Tally
    package init(name: String, bytes: UInt64, activeChange: Int64, traced: Tally) {
      self.name = name
      self.bytes = bytes
      self.activeChange = activeChange
      self.traced = traced
    }
  }

  package struct LeftOut: Hashable, Codable, Sendable {
    package var reason: String
    package var outstanding: Tally
    package init(reason: String, outstanding: Tally) {
      self.reason = reason
      self.outstanding = outstanding
    }
  }

  package struct Use: Hashable, Codable, Sendable {
    package var name: String
    package var aliases: [String]
    package var bytes: UInt64
    /// Active objects, or ranges.
    package var count: UInt64
    package var isReclaimable: Bool
    package init(name: String, aliases: [String] = [], bytes: UInt64, count: UInt64, isReclaimable: Bool = false) {
      self.name = name
      self.aliases = aliases
      self.bytes = bytes
      self.count = count
      self.isReclaimable = isReclaimable
    }
  }

  /// One event of the kernel.
  package struct Hook: Hashable, Codable, Sendable {
    package var name: String
    /// `raw tracepoint`, `kprobe`, `kretprobe` or `polling`; nil where the kernel has no way to see it.
    package var method: String?
    /// What it is attached to, where that has another name; or why there is no way.
    package var detail: String?
    package init(name: String, method: String?, detail: String? = nil) {
      self.name = name
      self.method = method
      self.detail = detail
    }
  }

  package init(
    shares: [Share] = [], caches: [CacheChange] = [], leftOut: [LeftOut] = [],
    counters: [Report.LossCounter] = [], processes: [KernelSiteDetails.Share] = [], hooks: [Hook] = [],
    findings: [String] = []
  ) {
    self.shares = shares
    self.caches = caches
    self.leftOut = leftOut
    self.counters = counters
    self.processes = processes
    self.hooks = hooks
    self.findings = findings
  }
}
