/// Prometheus' text format, version 0.0.4, which is older than OpenMetrics: counters are declared by the names of their samples,
/// there is no kind for information, no unit, and no mark at the end.
package enum PrometheusText {
  package static func document(fromOpenMetrics text: String) -> String {
    var output = ""
    /// What the samples of the present family have behind its name.
    var suffix = ""
    for line in text.split(separator: "\n") {
      let words = line.split(separator: " ", maxSplits: 3)
      guard line.hasPrefix("# "), words.count >= 2 else {
        output += line + "\n"
        continue
      }
      switch (words[1], words.count) {
      case ("TYPE", 4):
        suffix = words[3] == "counter" ? "_total" : words[3] == "info" ? "_info" : ""
        output += "# TYPE \(words[2])\(suffix) \(words[3] == "info" ? "gauge" : words[3])\n"
      case ("HELP", 4): output += "# HELP \(words[2])\(suffix) \(words[3])\n"
      default: break
      }
    }
    return output
  }
}
