import Quantities
import TextOutput

/// Writes a diagnosis, as text for people and in a form for programs.
package enum DiagnosisReport {
  package static func text(_ diagnosis: HostDiagnosis) -> String {
    var text = ""
    let width = diagnosis.checks.map(\.name.count).max() ?? 0
    for area in CapabilityCheck.Area.allCases {
      let checks = diagnosis.checks.filter { $0.area == area }
      if checks.isEmpty { continue }
      text += "\(text.isEmpty ? "" : "\n")\(area.rawValue)\n"
      for check in checks {
        text += "  \(pad(check.status.rawValue, 8))  \(pad(check.name, width))  \(escapedForTerminal(check.detail))\n"
        if let remedy = check.remedy, check.status != .works {
          text += "\(String(repeating: " ", count: width + 14))do: \(escapedForTerminal(remedy))\n"
        }
      }
    }
    if let costs = diagnosis.costs {
      text += "\ncost of a probe's hit here (\(costs.method), a program that does nothing)\n"
      text += "  at an emulated instruction  \(groupedWholeNumber(costs.emulated)) ns\n"
      text += "  single-stepped              \(groupedWholeNumber(costs.stepped)) ns\n"
    }
    if let forecast = diagnosis.forecast {
      text +=
        "\nforecast for process \(forecast.processID), counted for \(Duration.seconds(forecast.secondsMeasured).text) by a trace that samples\n"
      text += "  probes hit                  \(groupedWholeNumber(forecast.hitsPerSecond)) per second\n"
      text += "  the process uses            \(percentText(forecast.ownCPUs, decimals: 1)) of one CPU\n"
      text += "  a full trace adds           \(percentText(forecast.fullCPUs, decimals: 1)) of one CPU\n"
      text += "  with --sample-bytes 512K    \(percentText(forecast.sampledCPUs, decimals: 1)) of one CPU\n"
    }
    text += "\n"
    let failing = diagnosis.checks.filter { $0.status == .fails }
    text +=
      failing.isEmpty
      ? "leaktrace works here.\n"
      : "leaktrace cannot trace here: \(failing.map { "\($0.area.rawValue): \($0.name)" }.joined(separator: ", ")).\n"
    return text
  }

  package static func json(_ diagnosis: HostDiagnosis) -> String {
    var json = JSONWriter()
    json.object { json in
      json.member("schema", "leaktrace.doctor/1")
      json.member("ready", diagnosis.isReady)
      json.key("checks")
      json.array(diagnosis.checks) { json, check in
        json.object { json in
          json.member("area", check.area.rawValue)
          json.member("name", check.name)
          json.member("status", check.status.rawValue)
          json.member("detail", check.detail)
          json.member("remedy", check.status == .works ? nil : check.remedy)
        }
      }
      json.key("costs")
      if let costs = diagnosis.costs {
        json.object { json in
          json.member("method", costs.method)
          json.member("emulated_nanoseconds", costs.emulated)
          json.member("stepped_nanoseconds", costs.stepped)
        }
      } else {
        json.null()
      }
      json.key("forecast")
      if let forecast = diagnosis.forecast {
        json.object { json in
          json.member("pid", forecast.processID)
          json.member("hits_per_second", forecast.hitsPerSecond)
          json.member("measured_seconds", forecast.secondsMeasured)
          json.member("own_cpus", forecast.ownCPUs)
          json.member("full_cpus", forecast.fullCPUs)
          json.member("sampled_cpus", forecast.sampledCPUs)
        }
      } else {
        json.null()
      }
    }
    return String(decoding: json.bytes, as: UTF8.self) + "\n"
  }

  private static func pad(_ text: String, _ width: Int) -> String {
    text + String(repeating: " ", count: max(0, width - text.count))
  }

  private static func tenths(_ value: Double) -> String { "\((value * 10).rounded() / 10)" }
}
