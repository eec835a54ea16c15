import TextOutput
import TraceModel

/// The machine-readable report, a contract: its shape is docs/schema/leaktrace.report-1.schema.json.
///
/// Addresses are strings of hexadecimal digits, since many readers of JSON lose digits of numbers above 2^53; sizes and
/// counts are numbers.
package enum JSONReport {
  package static let schema = "leaktrace.report/1"

  package static let format = ReportFormat(
    name: "json", summary: "one JSON document per report and line (\(schema)), with everything", isRecording: true
  ) { report, _ in render(report) }

  package static func render(_ report: Report) -> [UInt8] {
    var writer = JSONWriter()
    writer.object { writer in
      writer.member("schema", schema)
      writer.key("target")
      write(report.target, to: &writer)
      writer.key("window")
      writer.object {
        $0.member("start", timestamp(report.window.startInUnixSeconds))
        $0.member("start_unix_seconds", report.window.startInUnixSeconds)
        $0.member("duration_seconds", report.window.duration)
      }
      writer.key("probes")
      writer.array(report.probes) { write($1, to: &$0) }
      writer.key("sampling")
      if let sampling = report.sampling {
        writer.object {
          $0.member("mean_bytes", sampling.meanInBytes)
          $0.member("every_nth", sampling.everyNth)
          if let thinning = sampling.thinning {
            $0.member("thinned_after_seconds", thinning.begin)
            $0.member("thinned_beyond_blocks", thinning.blocks)
          }
        }
      } else {
        writer.null()
      }
      writer.key("totals")
      writer.object { write(report.totals, to: &$0) }
      writer.key("processes")
      writer.array(report.processes) { write($1, to: &$0) }
      writer.key("loss")
      writer.object { writer in
        var written: Set<String> = []
        for counter in report.loss where written.insert(counter.name).inserted {
          writer.member(counter.name, counter.value)
        }
      }
      writeDescriptions(of: report.loss + (report.kernelMemory?.counters ?? []), to: &writer)
      writer.key("sites")
      let frames = FrameCache { frame -> [UInt8] in
        var writer = JSONWriter()
        write(frame, to: &writer)
        return writer.bytes
      }
      writer.array(report.sites) { write($1, frames, to: &$0) }
      if let freed = report.freedSites {
        writer.key("freed_sites")
        writer.array(freed) { write($1, frames, to: &$0) }
      }
      writer.key("beyond_limit")
      writer.object {
        $0.member("sites", report.beyondLimit?.sites ?? 0)
        $0.member("bytes", report.beyondLimit?.outstanding.bytes ?? 0)
        $0.member("count", report.beyondLimit?.outstanding.count ?? 0)
      }
      if let filter = report.filter {
        writer.key("filter")
        writer.object {
          $0.member("words", filter.words)
          $0.member("whole_bytes", filter.whole.bytes)
          $0.member("whole_count", filter.whole.count)
        }
      }
      if let settings = report.settings {
        writer.key("settings")
        writer.object {
          $0.member("minimum_size", settings.minimumSizeInBytes)
          $0.member("maximum_size", settings.maximumSizeInBytes)
          $0.member("minimum_age_seconds", settings.minimumAge)
          $0.member("mappings", settings.tracesMappings)
        }
      }
      writer.key("timeline")
      writer.array(report.timeline) { writer, moment in
        writer.object {
          $0.member("elapsed_seconds", moment.elapsed)
          $0.member("outstanding_bytes", moment.outstanding.bytes)
          $0.member("outstanding_count", moment.outstanding.count)
          $0.member("resident_bytes", moment.residentBytes)
        }
      }
      if let memory = report.kernelMemory {
        writer.key("kernel")
        write(memory, to: &writer)
      }
      JSONLeakCheck.write(report, to: &writer)
      writer.key("notes")
      writer.array(report.notes) { $0.string($1) }
    }
    writer.endLine()
    return writer.bytes
  }

  /// What the counters mean that have counted something.
  private static func writeDescriptions(of counters: [Report.LossCounter], to writer: inout JSONWriter) {
    let counters = counters.filter { $0.value > 0 }
    guard !counters.isEmpty else { return }
    writer.key("counter_descriptions")
    writer.object { writer in
      var written: Set<String> = []
      for counter in counters where written.insert(counter.name).inserted {
        writer.member(counter.name, counter.description)
      }
    }
  }

  private static func write(_ target: Report.Target, to writer: inout JSONWriter) {
    writer.object {
      $0.member("kind", target.kind.rawValue)
      $0.member("pid", target.processID)
      $0.member("command", target.command)
      $0.member("executable", target.executable)
      $0.member("exit_status", target.exitStatus)
      if let release = target.kernelRelease { $0.member("kernel_release", release) }
      guard let programs = target.programs else { return }
      $0.key("programs")
      $0.array(programs) { writer, program in
        writer.object {
          $0.member("executable", program.executable)
          $0.member("build_id", program.buildID)
          $0.member("allocator", program.allocator)
        }
      }
    }
  }

  private static func write(_ probe: Report.Probe, to writer: inout JSONWriter) {
    writer.object {
      $0.member("function", probe.function)
      $0.member("object", probe.object)
      $0.member("offset", probe.offset)
      $0.member("instruction", probe.instruction)
      $0.member("emulated", probe.isEmulated)
      $0.member("kind", probe.kind.rawValue)
      $0.member("hits", probe.hits)
    }
  }

  private static func write(_ totals: Report.Totals, to writer: inout JSONWriter) {
    write(totals.outstanding, totals.allocated, totals.freed, to: &writer)
    writer.member("unmatched_frees", totals.unmatchedFrees)
    writer.member("outstanding_bytes_standard_error", totals.outstandingBytesStandardError)
  }

  private static func write(
    _ outstanding: Tally, _ allocated: Tally, _ freed: Tally, to writer: inout JSONWriter
  ) {
    for (name, tally) in [("outstanding", outstanding), ("allocated", allocated), ("freed", freed)] {
      writer.member(name + "_bytes", tally.bytes)
      writer.member(name + "_count", tally.count)
    }
  }

  private static func write(_ process: Report.ProcessTotals, to writer: inout JSONWriter) {
    writer.object {
      $0.member("pid", process.processID)
      $0.member("parent_pid", process.parentProcessID)
      if let group = process.controlGroup { $0.member("cgroup", group) }
      $0.member("command", process.command)
      $0.member("state", process.state.rawValue)
      write(process.totals, to: &$0)
    }
  }

  private static func write(_ site: AllocationSite, _ frames: FrameCache<[UInt8]>, to writer: inout JSONWriter) {
    writer.object { writer in
      writer.member("pid", site.processID)
      if let thread = site.threadID {
        writer.member("thread_id", thread)
        if let name = site.threadName { writer.member("thread_name", name) }
      }
      writer.member("class", site.allocationClass.rawValue)
      writer.member("allocator", site.allocator)
      write(site.outstanding, site.allocated, site.freed, to: &writer)
      writer.member("outstanding_bytes_standard_error", site.outstandingBytesStandardError)
      writer.member("oldest_age_seconds", site.oldestAge)
      writer.member("stack_complete", site.stack.completeness == .complete)
      writer.member("stack_completeness", site.stack.completeness.rawValue)
      writer.key("verdict")
      writer.object { writer in
        for kind in VerdictKind.allCases {
          // Where no leak check ran, everything outstanding is unchecked.
          let tally =
            site.verdicts.isEmpty && kind == .unchecked
            ? site.outstanding : site.verdicts[kind] ?? Tally()
          writer.member(kind.rawValue, tally)
        }
      }
      if let kernel = site.kernel {
        writer.key("kernel")
        write(kernel, to: &writer)
      }
      if let held = site.heldBeforeEnd { writer.member("held_before_end", held) }
      JSONLeakCheck.write(site, to: &writer)
      if let course = site.course {
        writer.key("course")
        writer.object {
          $0.key("seconds")
          $0.array(course.seconds) { $0.number($1) }
          $0.key("bytes")
          $0.array(course.bytes) { $0.integer($1) }
        }
      }
      writer.key("frames")
      writer.array(site.shownFrames) { $0.raw(frames[$1]) }
      writer.key("allocations")
      writer.array(site.allocations) { writer, allocation in
        writer.object {
          $0.member("address", hexadecimal(allocation.address))
          $0.member("size", allocation.sizeInBytes)
          $0.member("age_seconds", allocation.age)
          $0.member("verdict", (allocation.verdict?.kind ?? .unchecked).rawValue)
          JSONLeakCheck.write(allocation, to: &$0)
        }
      }
    }
  }

  static func write(_ frame: Frame, to writer: inout JSONWriter) {
    writer.object {
      $0.member("address", hexadecimal(frame.address))
      $0.member("function", frame.function)
      $0.member("linkage_name", frame.linkageName)
      $0.member("offset", frame.functionOffset)
      $0.member("module", frame.module)
      $0.member("module_offset", frame.moduleOffset)
      $0.member("build_id", frame.buildID)
      $0.member("file", frame.file)
      $0.member("line", frame.line)
      $0.member("inlined", frame.isInlined)
      $0.member("unresolved", frame.unresolved?.rawValue)
    }
  }
}

extension AllocationSite {
  /// The named frames, or the bare addresses of a stack that was not symbolized.
  var shownFrames: [Frame] {
    frames.isEmpty ? stack.addresses.map { Frame(address: $0) } : frames
  }
}
