import ReportFormats
import TextOutput

/// An observation as one JSON document, `leaktrace.observation/1`, and as comma-separated values.
package enum ObservationJSON {
  package static func render(_ report: ObservationReport) -> [UInt8] {
    var json = JSONWriter()
    json.object { json in
      json.member("schema", "leaktrace.observation/1")
      json.key("window")
      json.object { json in
        json.member("start", timestamp(report.startInUnixSeconds))
        json.member("duration_seconds", report.duration)
        json.member("samples", report.samples)
        json.member("interval_seconds", report.intervalInSeconds)
      }
      json.key("host")
      json.object { json in
        json.member("total_bytes", report.totalBytes)
        json.member("available_bytes", report.availableBytes)
      }
      json.key("observed")
      json.object { json in
        for kind in SeriesKey.Kind.allCases { json.member(word(kind.rawValue), report.counts[kind] ?? 0) }
      }
      json.member("cpu_seconds_per_sample", report.secondsPerSample)
      json.key("series")
      json.array(report.entries) { json, entry in write(entry, &json) }
      json.key("notes")
      json.array(report.notes) { json, note in json.string(note) }
    }
    return json.bytes + [0x0a]
  }

  private static func write(_ entry: ObservationReport.Entry, _ json: inout JSONWriter) {
    let series = entry.series
    let judgement = series.judgement
    json.object { json in
      json.member("kind", word(series.key.kind.rawValue))
      json.member("name", series.key.name)
      if case .process(let processID, _) = series.key {
        json.member("pid", processID)
      } else {
        json.member("pid", Int?.none)
      }
      json.member("command", series.command)
      json.member("cgroup", series.cgroup)
      json.member("owner", series.owner?.name)
      json.member("owner_kind", series.owner?.kind.rawValue)
      json.member("trend", word(judgement.word.rawValue))
      json.member("reclaimable", series.isReclaimable)
      json.member("bytes", series.bytes)
      json.member("bytes_per_hour", series.bytesPerHour)
      json.member("bytes_per_hour_lower", judgement.lowerSlope * 3600)
      json.member("bytes_per_hour_upper", judgement.upperSlope * 3600)
      json.member("confidence", TrendJudgement.confidence)
      json.member("share", series.share)
      json.member("limit", series.limit?.name)
      json.member("limit_left_bytes", series.limit?.left)
      json.member("seconds_to_limit", series.secondsToLimit)
      json.key("grows_by")
      json.array(series.kinds) { json, kind in
        json.object { json in
          json.member("kind", word(kind.kind.rawValue))
          json.member("bytes", kind.bytes)
        }
      }
      json.key("memory")
      memory(series, &json)
      json.key("points")
      json.array(series.points.bytes) { json, bytes in json.number(bytes) }
      json.member("runtime", entry.profile?.runtime?.name)
      json.member("allocator", entry.profile?.allocator?.name)
      json.member("next_command", entry.next?.command)
      json.member("next_reason", entry.next?.reason)
      json.member("mitigation", entry.next?.mitigation)
    }
  }

  /// What the series is made of; null where that is its size alone.
  private static func memory(_ series: RankedSeries, _ json: inout JSONWriter) {
    if let process = series.process {
      json.object { json in
        json.member("resident_bytes", process.resident)
        json.member("proportional_bytes", series.classes?.proportional)
        json.member("anonymous_bytes", process.anonymous)
        json.member("file_bytes", process.file)
        json.member("shared_bytes", process.shared)
        json.member("swap_bytes", process.swap)
        json.member("page_table_bytes", process.pageTables)
        json.member("minor_faults", process.minorFaults)
        json.member("threads", process.threads)
        json.key("mappings")
        json.object { json in
          for kind in MappingClasses.Class.allCases {
            json.member(word(kind.rawValue) + "_bytes", series.classes?[kind].resident)
          }
        }
      }
    } else if let group = series.cgroupMemory {
      json.object { json in
        json.member("usage_bytes", group.usage)
        json.member("unreclaimable_bytes", group.unreclaimable)
        json.member("limit_bytes", group.limit)
        json.member("soft_limit_bytes", group.softLimit)
        json.member("anonymous_bytes", group.parts.anonymous)
        json.member("file_bytes", group.parts.file)
        json.member("shared_bytes", group.parts.shared)
        json.member("kernel_bytes", group.parts.kernel)
        json.member("swap_bytes", group.swap)
        json.member("limit_hits", group.limitHits)
        json.member("oom_kills", group.oomKills)
      }
    } else {
      json.null()
    }
  }

  static func word(_ text: String) -> String { text.split(separator: " ").joined(separator: "_") }

  // MARK: Comma-separated values

  package static func csv(_ report: ObservationReport) -> String {
    var text =
      "kind,name,command,owner,trend,bytes,bytes_per_hour,bytes_per_hour_lower,bytes_per_hour_upper,share,limit,"
      + "limit_left_bytes,seconds_to_limit,grows_by,next_command\r\n"
    for entry in report.entries {
      let series = entry.series
      var cells = [series.key.kind.rawValue, series.key.name, series.command ?? "", series.owner?.name ?? ""]
      cells += [series.judgement.word.rawValue, "\(series.bytes)"]
      let slopes = [series.judgement.slope, series.judgement.lowerSlope, series.judgement.upperSlope]
      cells += slopes.map { $0.isFinite ? "\($0 * 3600)" : "" }
      cells += ["\(series.share)", series.limit?.name ?? "", series.limit.map { "\($0.left)" } ?? ""]
      cells += [series.secondsToLimit.map { "\($0)" } ?? "", series.kinds.map(\.kind.rawValue).joined(separator: "; ")]
      cells.append(entry.next?.command ?? "")
      text += cells.map(cell).joined(separator: ",") + "\r\n"
    }
    return text
  }

  /// A name, or a number, which may be negative.
  private static func cell(_ text: String) -> String {
    let isNumber =
      text.utf8.allSatisfy { (0x30...0x39).contains($0) || "-+.e".utf8.contains($0) } && Double(text) != nil
    return isNumber ? text : csvCell(text)
  }
}
