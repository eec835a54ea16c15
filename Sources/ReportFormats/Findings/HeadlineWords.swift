import Quantities
import ReportAnalysis
import TraceModel

/// The words of a headline, the same in every format. Names in them are the target's: escape them.
extension Headline {
  /// `server (77)`, or what was traced where it is not one process.
  func subject(_ target: Report.Target) -> String {
    if target.kind == .kernel { return "the kernel" }
    let name = command ?? (target.kind == .system ? "the system" : target.kind.rawValue)
    return processID.map { "\(name) (\($0))" } ?? name
  }

  /// `LEAKS 837.0 KiB/s = 2.9 GiB/h`; the rate only where something grows.
  var answerWords: String {
    guard let rate, rate.bytesPerSecond > 0 else {
      return answer == .leaks && lost.count > 0 ? "\(answer.rawValue) \(ByteSize.text(lost.bytes))" : answer.rawValue
    }
    let shown = ByteRate(bytesPerSecond: rate.bytesPerSecond)
    return "\(answer.rawValue) \(shown.text(per: .second)) = \(shown.text(per: .hour))"
  }

  /// `OOM in ~5 h 36 m (MemAvailable)`; nil where nothing grows, and for what nobody will live to see.
  var forecastWords: String? {
    guard let forecast, forecast.seconds.isFinite, forecast.seconds >= 0, forecast.seconds < 3.2e9 else { return nil }
    return "OOM in ~\(Duration.seconds(forecast.seconds).text) (\(forecast.limit))"
  }

  /// `15.0 s, nothing missed`, or that the records are not whole.
  var windowWords: String {
    guard !missing.causes.isEmpty else { return "\(window.text), nothing missed" }
    return "\(window.text), \(isIncomplete ? "INCOMPLETE: " : "")\(missing.blocks) records missed"
  }
}
