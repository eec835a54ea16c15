import TextOutput
import TraceModel

extension JSONReport {
  static func write(_ kernel: KernelSiteDetails, to writer: inout JSONWriter) {
    writer.object { writer in
      writer.member("cache", kernel.cache)
      writer.key("aliases")
      writer.array(kernel.aliases) { $0.string($1) }
      writer.member("reclaimable", kernel.isReclaimable)
      writer.member("suspect", kernel.isSuspect)
      writer.member("reused_count", kernel.reusedCount)
      writer.member("doubt", kernel.doubt)
      if let earlier = kernel.earlier {
        writer.key("before_stacks")
        writer.object {
          $0.member("bytes", earlier.bytes)
          $0.member("count", earlier.count)
        }
      }
      writer.key("processes")
      writer.array(kernel.processes) { write($1, to: &$0) }
    }
  }

  private static func write(_ share: KernelSiteDetails.Share, to writer: inout JSONWriter) {
    writer.object {
      // Memory that an interrupt allocates belongs to no process.
      $0.member("pid", share.processID == 0 ? nil : share.processID)
      $0.member("command", share.command)
      $0.member("outstanding_bytes", share.outstanding.bytes)
      $0.member("outstanding_count", share.outstanding.count)
    }
  }

  static func write(_ memory: KernelMemorySummary, to writer: inout JSONWriter) {
    writer.object { writer in
      writer.key("hooks")
      writer.array(memory.hooks) { writer, hook in
        writer.object {
          $0.member("name", hook.name)
          $0.member("method", hook.method)
          $0.member("detail", hook.detail)
        }
      }
      writer.key("shares")
      writer.array(memory.shares) { writer, share in
        writer.object {
          $0.member("name", share.name)
          $0.member("bytes", share.bytes)
          $0.member("change_bytes", share.change)
          $0.member("traced_bytes", share.traced)
          $0.member("kernel", share.isKernel)
        }
      }
      writer.key("caches")
      writer.array(memory.caches) { writer, cache in
        writer.object {
          $0.member("name", cache.name)
          $0.member("bytes", cache.bytes)
          $0.member("active_change", cache.activeChange)
          $0.member("traced_bytes", cache.traced.bytes)
          $0.member("traced_count", cache.traced.count)
        }
      }
      for (key, uses) in [("slab_use", memory.slabUse), ("vmalloc_use", memory.vmallocUse)] {
        writer.key(key)
        writer.array(uses) { writer, use in
          writer.object { writer in
            writer.member("name", use.name)
            writer.key("aliases")
            writer.array(use.aliases) { $0.string($1) }
            writer.member("bytes", use.bytes)
            writer.member("count", use.count)
            writer.member("reclaimable", use.isReclaimable)
          }
        }
      }
      writer.key("left_out")
      writer.array(memory.leftOut) { writer, part in
        writer.object {
          $0.member("reason", part.reason)
          $0.member("outstanding_bytes", part.outstanding.bytes)
          $0.member("outstanding_count", part.outstanding.count)
        }
      }
      writer.key("counters")
      writer.object { writer in
        for counter in memory.counters { writer.member(counter.name, counter.value) }
      }
      writer.key("processes")
      writer.array(memory.processes) { write($1, to: &$0) }
      writer.key("findings")
      writer.array(memory.findings) { $0.string($1) }
    }
  }
}
