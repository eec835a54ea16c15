import TextOutput
import TraceModel

/// speedscope's file format: one profile by bytes and one by blocks, frames shared.
package enum SpeedscopeReport {
  package static let format = ReportFormat(
    name: "speedscope", summary: "for speedscope", suffixes: ["speedscope.json"]
  ) { report, _ in render(report) }

  package static func render(_ report: Report) -> [UInt8] {
    struct Shared: Hashable {
      var name: String
      var file: String?
      var line: Int?
    }
    var ids: [Shared: Int] = [:]
    var frames: [Shared] = []
    var samples: [(stack: [Int], outstanding: Tally)] = []
    let frameIDs = FrameCache { frame -> Int in
      let shared = Shared(
        name: singleLine(frame.plainName), file: frame.file.map { singleLine($0) },
        line: frame.line.flatMap { $0 > 0 ? $0 : nil })
      if let known = ids[shared] { return known }
      ids[shared] = frames.count
      frames.append(shared)
      return frames.count - 1
    }
    for site in report.sites where site.outstanding.bytes > 0 || site.outstanding.count > 0 {
      samples.append((site.shownFrames.reversed().map { frameIDs[$0] }, site.outstanding))
    }
    var writer = JSONWriter()
    writer.object { writer in
      writer.member("$schema", "https://www.speedscope.app/file-format-schema.json")
      writer.member("exporter", "leaktrace")
      writer.member("name", report.target.command.map { singleLine($0) } ?? report.target.kind.rawValue)
      writer.member("activeProfileIndex", 0)
      writer.key("shared")
      writer.object { writer in
        writer.key("frames")
        writer.array(frames) { writer, frame in
          writer.object {
            $0.member("name", frame.name)
            if let file = frame.file { $0.member("file", file) }
            if let line = frame.line { $0.member("line", line) }
          }
        }
      }
      writer.key("profiles")
      writer.array(["bytes", "blocks"]) { writer, measure in
        let isBytes = measure == "bytes"
        let weights = samples.map { isBytes ? $0.outstanding.bytes : $0.outstanding.count }
        writer.object { writer in
          writer.member("type", "sampled")
          writer.member("name", isBytes ? "outstanding bytes" : "outstanding blocks")
          writer.member("unit", isBytes ? "bytes" : "none")
          writer.member("startValue", 0)
          writer.member("endValue", weights.reduce(UInt64(0)) { $0.addingReportingOverflow($1).partialValue })
          writer.key("samples")
          writer.array(samples) { writer, sample in writer.array(sample.stack) { $0.integer($1) } }
          writer.key("weights")
          writer.array(weights) { $0.integer($1) }
        }
      }
    }
    writer.endLine()
    return writer.bytes
  }
}
