import TextOutput
import TraceModel

enum ComparisonJSON {
  static let schema = "leaktrace.comparison/1"

  static func render(_ comparison: Comparison) -> [UInt8] {
    var writer = JSONWriter()
    writer.object { writer in
      writer.member("schema", schema)
      writer.member("passed", comparison.hasPassed)
      writer.member("answer", comparison.answer.rawValue)
      writer.key("reasons")
      writer.array(comparison.reasons) { $0.string($1) }
      writer.member("measure", comparison.measure.rawValue)
      writer.member("confidence", comparison.confidence)
      writer.member("threshold", comparison.threshold)
      writer.key("normalization")
      writer.object { writer in
        switch comparison.normalization {
        case .perSecond: writer.member("kind", "time")
        case .perWork(let before, let after):
          writer.member("kind", "work")
          writer.member("before", before)
          writer.member("after", after)
        case .perRound(let count, let work):
          writer.member("kind", "rounds")
          writer.member("count", count)
          writer.member("work", work)
        }
      }
      write("before", comparison.before, to: &writer)
      write("after", comparison.after, to: &writer)
      writer.key("sites")
      writer.array(comparison.sites) { writer, site in
        writer.object { writer in
          writer.member("verdict", site.verdict.rawValue)
          writer.member("leaking", site.isLeaking)
          writer.member("reason", site.reason)
          writer.member("allocator", site.allocator)
          write("before", site.before, to: &writer)
          write("after", site.after, to: &writer)
          for (name, tally) in [("before", site.beforeTally), ("after", site.afterTally)] {
            writer.member(name + "_bytes", tally.bytes)
            writer.member(name + "_count", tally.count)
          }
          writer.key("frames")
          writer.array(site.frames) { writer, frame in
            writer.object {
              $0.member("function", frame.function)
              $0.member("module", frame.module)
              $0.member("file", frame.file)
              $0.member("line", frame.line)
              $0.member("inlined", frame.isInlined)
            }
          }
        }
      }
      writer.key("notes")
      writer.array(comparison.notes) { $0.string($1) }
    }
    writer.endLine()
    return writer.bytes
  }

  private static func write(_ name: String, _ rate: Comparison.Rate, to writer: inout JSONWriter) {
    writer.key(name)
    writer.object {
      $0.member("value", rate.value)
      $0.member("low", rate.low)
      $0.member("high", rate.high)
    }
  }
}
