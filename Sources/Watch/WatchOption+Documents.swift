/// What is written of all settings together.
extension WatchOption {
  /// The sample configuration file: every setting with the value that it has by default, those without one as a remark.
  package static var sampleFile: String {
    let lines = all.map { option in
      let setting = option.usual.map { "\(option.name) = \($0)" } ?? "# \(option.name) = \(option.example)"
      return "# \(option.summary)\(option.isRepeatable ? "; can be repeated" : "").\n\(setting)\n"
    }
    return """
      # /etc/leaktrace/watch.conf: read by leaktrace-watch.service; `systemctl reload leaktrace-watch` takes it up again.
      # `leaktrace watch --config FILE --check-config` says whether it is right. Options of the command line win over it.

      """ + "\n" + lines.joined(separator: "\n")
  }

  /// The table of the documentation.
  package static var documentation: String {
    let rows = all.map { option in
      let notes = [option.isRepeatable ? "can be repeated" : "", option.reload.rawValue].filter { !$0.isEmpty }
      return "| `\(option.name)` | \(option.usual.map { "`\($0)`" } ?? "") | \(option.summary) | "
        + notes.joined(separator: "; ") + " |\n"
    }
    return "| option and key | default | what for | when it changes |\n|---|---|---|---|\n" + rows.joined()
  }
}
