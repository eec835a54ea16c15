/// The formatters of `Quantities` for pages that count in the browser.
enum QuantityScript {
  /// `human(1536)` is `1.5 KiB`, `human(812)` is `812 B`, `human(812, "bytes")` is `812 bytes`.
  static let human = #"""
    function human(bytes, unit) {
      var sign = bytes < 0 ? "-" : "", units = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
      bytes = Math.round(Math.abs(bytes));
      if (bytes < 1024) return (bytes ? sign : "") + bytes + " " + (unit || "B");
      for (var place = 0, size = 1024; ; place++, size *= 1024) {
        // Tenths, rounded half up; the unit grows when they reach 1024.
        var tenths = Math.floor(bytes / size * 10 + 0.5);
        if (tenths < 10240 || place === units.length - 1) return sign + Math.floor(tenths / 10) + "." + tenths % 10 + " " + units[place];
      }
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
        return human(value * (per === "h" ? 3600 : 1), "bytes") + "/" + per;
      }
      function seconds(value) {
        if (value === null || value === undefined || !(value >= 0)) return "";
        const two = (number) => String(Math.floor(number)).padStart(2, "0");
        const cut = (digits) => (Math.floor(value * 10 ** digits + 1e-6) / 10 ** digits).toFixed(digits) + " s";
        if (value < 10) return cut(2);
        if (value < 60) return cut(1);
        if (value < 3600) return Math.floor(value / 60) + " m " + two(value % 60) + " s";
        if (value < 86400) return Math.floor(value / 3600) + " h " + two(value / 60 % 60) + " m";
        return Math.floor(value / 86400) + " d " + two(value / 3600 % 24) + " h";
      }

      """#
}
