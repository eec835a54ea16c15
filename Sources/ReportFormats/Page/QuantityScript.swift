/// `ByteSize.text` for pages that count in the browser.
enum QuantityScript {
  /// `human(1536)` is `1.5 KiB`, `human(812)` is `812 B`, `human(812, "bytes")` is `812 bytes`.
  static let human = #"""
    function human(bytes, unit) {
      var sign = bytes < 0 ? "-" : "", units = [unit || "B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"], place = 0;
      bytes = Math.abs(bytes);
      while (bytes >= 1024 && place < units.length - 1) { bytes /= 1024; place++; }
      return sign + (place ? bytes.toFixed(1) : Math.round(bytes)) + " " + units[place];
    }
    """#
}
