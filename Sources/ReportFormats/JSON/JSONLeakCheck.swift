import TextOutput
import TraceModel

/// The members of the JSON report that leak checks and growth fill.
enum JSONLeakCheck {
  static func write(_ report: Report, to writer: inout JSONWriter) {
    writer.key("leak_checks")
    writer.array(report.leakChecks) { write($1, to: &$0) }
    writer.key("left_out")
    writer.object {
      $0.member("sites", report.leftOutSites)
      $0.member("bytes", report.leftOut.bytes)
      $0.member("count", report.leftOut.count)
    }
    writer.key("suppressions")
    writer.array(report.suppressions) { writer, use in
      writer.object {
        $0.member("pattern", use.pattern)
        $0.member("bytes", use.matched.bytes)
        $0.member("count", use.matched.count)
      }
    }
    writer.key("explanations")
    writer.array(report.explanations) { write($1, to: &$0) }
    writer.key("retention")
    writer.array(report.retention) { writer, summary in
      writer.object {
        $0.member("pid", summary.processID)
        $0.member("resident_heap_bytes", summary.residentHeapBytes)
        $0.member("mapped_heap_bytes", summary.mappedHeapBytes)
        $0.member("outstanding_bytes", summary.outstandingBytes)
        $0.member("resident_heap_growth", summary.residentHeapGrowth)
        $0.member("outstanding_growth", summary.outstandingGrowth)
        $0.member("finding", summary.finding)
      }
    }
    if let missing = report.missingSymbols {
      writer.key("missing_symbols")
      writer.array(missing) { writer, file in
        writer.object {
          $0.member("module", file.module)
          $0.member("build_id", file.buildID)
          $0.member("frames", file.frames)
          $0.member("package", file.package)
        }
      }
    }
    if let threads = report.threads {
      writer.key("threads")
      writer.array(threads) { write($1, to: &$0) }
    }
    if let unexplained = report.unexplained {
      writer.key("unexplained_growth")
      writer.array(unexplained) { writer, growth in
        writer.object { writer in
          writer.member("pid", growth.processID)
          writer.member("bytes", growth.bytes)
          writer.key("parts")
          writer.array(growth.parts) { writer, part in
            writer.object {
              $0.member("class", part.kind.rawValue)
              $0.member("bytes", part.bytes)
            }
          }
        }
      }
    }
    writer.key("memory_limit")
    if let limit = report.memoryLimit {
      writer.object {
        $0.member("left_bytes", limit.leftInBytes)
        $0.member("name", limit.name)
      }
    } else {
      writer.null()
    }
  }

  private static func write(_ threads: ThreadSummary, to writer: inout JSONWriter) {
    writer.object { writer in
      writer.member("pid", threads.processID)
      writer.member("running", threads.running)
      writer.member("cached_stacks", threads.cachedStacks)
      writer.member("reserved_bytes", threads.reservedBytes)
      writer.member("resident_bytes", threads.residentBytes)
      writer.key("ended_not_joined")
      guard let ended = threads.ended else { return writer.null() }
      writer.array(ended) { writer, ended in
        writer.object { writer in
          writer.member("count", ended.count)
          writer.member("reserved_bytes", ended.reservedBytes)
          writer.member("resident_bytes", ended.residentBytes)
          for (key, frames) in [("start", ended.start), ("creator", ended.creator)] {
            writer.key(key)
            writer.array(frames) { JSONReport.write($1, to: &$0) }
          }
        }
      }
    }
  }

  private static func write(_ check: LeakCheckSummary, to writer: inout JSONWriter) {
    writer.object { writer in
      writer.member("pid", check.processID)
      writer.member("method", check.method.rawValue)
      writer.member("paused_seconds", check.paused)
      writer.member("took_seconds", check.took)
      writer.member("searched_bytes", check.scannedBytes)
      for kind in VerdictKind.allCases { writer.member(kind.rawValue, check.kinds[kind] ?? Tally()) }
      if let growing = check.growing { writer.member("growing", growing) }
      writer.member("suppressed", check.suppressed)
      writer.key("notes")
      writer.array(check.notes) { $0.string($1) }
    }
  }

  private static func write(_ explanation: BlockExplanation, to writer: inout JSONWriter) {
    writer.object { writer in
      writer.member("pid", explanation.processID)
      writer.member("address", hexadecimal(explanation.address))
      writer.key("block")
      if let block = explanation.block {
        writer.object {
          $0.member("address", hexadecimal(block.address))
          $0.member("size", block.sizeInBytes)
          $0.member("verdict", block.kind.rawValue)
        }
      } else {
        writer.null()
      }
      writer.key("steps")
      writer.array(explanation.steps) { writer, step in
        writer.object {
          $0.member("holder", step.holder)
          $0.member("pointer", step.pointer.map(hexadecimal))
          $0.member("link", step.link.rawValue)
          $0.member("target_address", hexadecimal(step.targetAddress))
          $0.member("target_size", step.targetSizeInBytes)
        }
      }
    }
  }

  static func write(_ site: AllocationSite, to writer: inout JSONWriter) {
    writer.member("keeps", site.keeps)
    writer.key("holders")
    writer.array(site.holders.sorted { $0.key < $1.key }) { writer, entry in
      writer.object {
        $0.member("holder", entry.key)
        $0.member("bytes", entry.value.bytes)
        $0.member("count", entry.value.count)
      }
    }
    if let holders = site.heldBy {
      writer.key("held_by")
      writer.array(holders) { write($1, to: &$0) }
    }
    if let places = site.freedAt {
      writer.key("freed_at")
      writer.array(places) { writer, place in
        writer.object { writer in
          writer.member("share", place.share)
          writer.member("sampled_count", place.sampledCount)
          writer.key("frames")
          writer.array(place.frames) { JSONReport.write($1, to: &$0) }
        }
      }
    }
    writer.key("growth")
    if let growth = site.growth { write(growth, to: &writer) } else { writer.null() }
    if let growth = site.ownGrowth {
      writer.key("own_growth")
      write(growth, to: &writer)
    }
    guard let shares = site.shares else { return }
    writer.key("shares")
    writer.array(shares) { writer, share in
      writer.object {
        $0.member("pid", share.processID)
        $0.member("outstanding", share.outstanding)
        $0.member("allocated", share.allocated)
        $0.member("freed", share.freed)
        if let growth = share.growth {
          $0.key("growth")
          write(growth, to: &$0)
        }
      }
    }
  }

  private static func write(_ growth: GrowthEvidence, to writer: inout JSONWriter) {
    writer.object {
      $0.member("word", growth.word.rawValue)
      $0.member("slope_bytes_per_second", growth.slopeInBytesPerSecond)
      $0.member("lower_bytes_per_second", growth.lowerSlope)
      $0.member("upper_bytes_per_second", growth.upperSlope)
      $0.member("confidence", growth.confidence)
      $0.member("windows", growth.windows)
      $0.member("generations_alive", growth.generationsAlive)
      $0.member("survival", growth.survival)
    }
  }

  private static func write(_ holder: Holder, to writer: inout JSONWriter) {
    writer.object { writer in
      writer.member("kind", holder.kind.rawValue)
      writer.member("words", holder.words)
      writer.member("name", holder.name)
      writer.member("type", holder.type)
      writer.member("module", holder.module)
      writer.member("file", holder.file)
      writer.member("line", holder.line)
      writer.member("thread_id", holder.threadID)
      writer.member("thread_name", holder.threadName)
      writer.key("through")
      writer.array(holder.through) { writer, step in
        writer.object {
          $0.member("function", step.function)
          $0.member("file", step.file)
          $0.member("line", step.line)
          $0.member("container", step.container)
          $0.member("count", step.count)
          $0.member("same_site", step.isSameSite)
        }
      }
      if let passes = holder.passesOldMemory { writer.member("passes_old_memory", passes) }
      writer.member("bytes", holder.held.bytes)
      writer.member("count", holder.held.count)
      writer.member("share", holder.share)
    }
  }

  static func write(_ allocation: OutstandingAllocation, to writer: inout JSONWriter) {
    writer.member("keeps", allocation.verdict?.keeps ?? Tally())
    writer.member("holder", allocation.verdict?.holder)
    writer.member("first_bytes", allocation.firstBytes.isEmpty ? nil : digits(allocation.firstBytes))
  }

  /// Two hexadecimal digits for each byte.
  private static func digits(_ bytes: [UInt8]) -> String {
    var text = ""
    for byte in bytes {
      if byte < 16 { text += "0" }
      text += String(byte, radix: 16)
    }
    return text
  }
}

extension JSONWriter {
  mutating func member(_ name: String, _ tally: Tally) {
    key(name)
    object {
      $0.member("bytes", tally.bytes)
      $0.member("count", tally.count)
    }
  }
}
