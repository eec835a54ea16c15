/// The formatters of `Quantities` for pages that count in the browser.
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

  /// The same with rates, counts and lengths of time.
  static let source =
    human + "\n" + #"""
      const whole = (value) => value.toLocaleString("en");
      const counted = (value, noun) => whole(value) + " " + noun + (value === 1 ? "" : "s");
      function rate(value, unit) {
        if (value === null || !isFinite(value)) return "?";
        const per = unit || (Math.abs(value) < 100 ? "h" : "s");
        return human(value * (per === "h" ? 3600 : 1)) + "/" + per;
      }
      function seconds(value) {
        if (value === null || value === undefined || !(value >= 0)) return "";
        const two = (number) => String(Math.floor(number)).padStart(2, "0");
        if (value < 10) return value.toFixed(2) + " s";
        if (value < 60) return value.toFixed(1) + " s";
        if (value < 3600) return Math.floor(value / 60) + " m " + two(value % 60) + " s";
        if (value < 86400) return Math.floor(value / 3600) + " h " + two(value / 60 % 60) + " m";
        return Math.floor(value / 86400) + " d " + two(value / 3600 % 24) + " h";
      }

      """#
}
