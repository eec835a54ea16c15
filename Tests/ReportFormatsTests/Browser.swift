import Foundation
import TestTools
import Testing

/// A real browser. A script behind a page uses it as a person would, and writes down what it finds.
enum Browser {
  static let isThere = findTool("chromium") != nil

  struct Size: Hashable, Sendable, CustomTestStringConvertible {
    var width: Int
    var height: Int
    var testDescription: String { "\(width)×\(height)" }
    static let phone = Size(width: 390, height: 844)
    static let tablet = Size(width: 768, height: 1024)
    static let desktop = Size(width: 1440, height: 900)
    static let all = [phone, tablet, desktop]
  }

  /// Loads a page, runs a script whose last expression is an object of strings, and returns that object. `errors` in it is
  /// what the console and the page's policy complained of, `requests` how many resources were asked for.
  ///
  /// The page is in a frame of its own, because a window cannot be as narrow as a phone.
  static func use(
    _ page: [UInt8], _ script: String, size: Size = .desktop, fragment: String = "", isDark: Bool = false
  ) throws -> [String: String] {
    let directory = try TemporaryDirectory()
    let driver = """
      <script>window.errors = []; window.onerror = (message) => errors.push(message);
      console.error = (...parts) => errors.push(parts.join(" "));
      addEventListener("unhandledrejection", (event) => errors.push(String(event.reason)));
      addEventListener("securitypolicyviolation", (event) => errors.push(event.violatedDirective));
      addEventListener("load", async () => { let result; try { result = await (async () => { \(script) })(); } catch (error) { result = { failed: String(error) }; }
      result.errors = errors.join(); result.requests = String(performance.getEntriesByType("resource").length);
      parent.postMessage(btoa(unescape(encodeURIComponent(JSON.stringify(result)))), "*"); });</script>
      """
    // What goes wrong while the page's own script runs counts, too.
    let whole = String(decoding: page, as: UTF8.self)
    let early = "<script>window.early = []; onerror = (message) => early.push(message);</script>"
    let body = whole.replacing("<header>", with: "\(early)<header>", maxReplacements: 1) + driver
    _ = try directory.write("page.html", body.replacing("window.errors = [];", with: "window.errors = window.early;"))
    let path = try directory.write(
      "frame.html",
      """
      <!DOCTYPE html><body style="margin:0"><iframe src="page.html\(fragment)" width="\(size.width)" height="\(size.height)"
      style="border:0"></iframe><script>addEventListener("message", (event) => { const made = document.createElement("pre");
      made.id = "result"; made.textContent = event.data; document.body.append(made); });</script></body>
      """)
    let dom = try run(
      [
        "chromium", "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--hide-scrollbars",
        "--user-data-dir=\(directory.file("profile"))", "--window-size=\(max(500, size.width)),\(size.height)",
        "--virtual-time-budget=5000",
      ] + (isDark ? ["--blink-settings=preferredColorScheme=0"] : []) + ["--dump-dom", "file://\(path)"])
    let match = try #require(dom.firstMatch(of: /<pre id="result">([^<]*)<\/pre>/), "\(dom.suffix(500))")
    let bytes = try #require(Data(base64Encoded: String(match.1)))
    return try JSONDecoder().decode([String: String].self, from: bytes)
  }

  /// What scripts say again and again.
  static let helpers = """
    const rows = () => [...document.querySelectorAll("tr.site")];
    const names = () => rows().map((row) => row.lastChild.querySelector("b").textContent).join("|");
    const wait = (time) => new Promise((done) => setTimeout(done, time));
    const type = (id, value) => { const field = document.getElementById(id); field.value = value;
      field.dispatchEvent(new Event("input")); field.dispatchEvent(new Event("change")); return wait(300); };
    const open = (tab) => document.getElementById("tab-" + tab).click();
    const content = (id) => document.getElementById(id).textContent;
    const bars = () => [...document.querySelectorAll("#flame .f")];
    const labels = () => bars().map((bar) => bar.getAttribute("aria-label").split(/ \\(|: /)[0]).join("|");
    const bar = (name) => bars().find((bar) => bar.getAttribute("aria-label").startsWith(name));
    const press = (key) => document.activeElement.dispatchEvent(new KeyboardEvent("keydown", { key, bubbles: true, cancelable: true }));
    const focused = () => (document.activeElement.getAttribute("aria-label") || "").split(/ \\(|: /)[0];

    """
}
