import Foundation
import ReportFormats
import TestTools
import Testing
import TraceModel

/// Pages in a real browser: a script behind the page uses it as a person would, and writes down what it finds.
@Suite(.serialized, .enabled(if: findTool("chromium") != nil, "needs chromium"))
struct BrowserTests {
  /// Loads a page, runs a script whose last expression is an object of strings, and returns that object.
  private func use(_ page: [UInt8], _ script: String, width: Int = 1280, isDark: Bool = false) throws -> [String:
    String]
  {
    let directory = try TemporaryDirectory()
    let driver = """
      <script>window.errors = []; window.onerror = (message) => errors.push(message);
      addEventListener("load", async () => { let result; try { result = await (async () => { \(script) })(); } catch (error) { result = { failed: String(error) }; }
      result.errors = errors.join(); result.requests = String(performance.getEntriesByType("resource").length);
      const made = document.createElement("pre"); made.id = "result"; made.textContent = btoa(unescape(encodeURIComponent(JSON.stringify(result))));
      document.body.append(made); });</script>
      """
    let path = try directory.write("page.html", page + Array(driver.utf8))
    let dom = try run(
      [
        "chromium", "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--hide-scrollbars",
        "--user-data-dir=\(directory.file("profile"))", "--window-size=\(width),900", "--virtual-time-budget=5000",
      ] + (isDark ? ["--force-dark-mode", "--enable-features=WebContentsForceDark"] : []) + [
        "--dump-dom", "file://\(path)",
      ])
    let match = try #require(dom.firstMatch(of: /<pre id="result">([^<]*)<\/pre>/), "\(dom.suffix(500))")
    let bytes = try #require(Data(base64Encoded: String(match.1)))
    return try JSONDecoder().decode([String: String].self, from: bytes)
  }

  private static let helpers = """
    const rows = () => [...document.querySelectorAll("tr.site")];
    const names = () => rows().map((row) => row.lastChild.textContent).join("|");
    const type = (id, value) => { const field = document.getElementById(id); field.value = value;
      field.dispatchEvent(new Event("input")); field.dispatchEvent(new Event("change"));
      return new Promise((done) => setTimeout(done, 500)); };
    """

  /// Sites whose leaf functions and sizes are told apart easily.
  private func report() -> Report {
    var report = Report(
      target: Report.Target(kind: .process, processID: 77, command: "server"),
      window: Report.Window(startInUnixSeconds: SyntheticReports.start, duration: .seconds(60)))
    let sizes: [(String, UInt64, UInt64)] = [("parse", 3000, 3), ("cache_add", 50_000, 1), ("accept", 200, 20)]
    for (index, (name, bytes, count)) in sizes.enumerated() {
      let functions = [name, "serve", "main"]
      let frames = functions.enumerated().map { (depth: Int, function: String) in
        Frame(
          address: UInt64(0x1000 * (index + 1) + depth), function: function, functionOffset: 4, module: "/opt/server",
          moduleOffset: 4, file: "src/\(function).c", line: 10 + depth)
      }
      let tally = Tally(bytes: bytes, count: count)
      report.totals.outstanding += tally
      report.sites.append(
        AllocationSite(
          processID: 77, allocationClass: .heap, allocator: "malloc", outstanding: tally, allocated: tally,
          freed: Tally(),
          stack: StackTrace(addresses: frames.map(\.address), completeness: .complete), frames: frames,
          verdicts: [index == 1 ? .stillReachable : .definitelyLost: tally]))
    }
    report.totals.allocated = report.totals.outstanding
    report.leakChecks = [
      LeakCheckSummary(
        processID: 77,
        kinds: [.definitelyLost: Tally(bytes: 3200, count: 23), .stillReachable: Tally(bytes: 50_000, count: 1)])
    ]
    return report
  }

  private func page(_ report: Report) throws -> [UInt8] {
    try #require(ReportFormats.named("html")).render(report, ReportOptions())
  }

  @Test func sortsFiltersAndExpands() throws {
    let result = try use(
      try page(report()),
      Self.helpers + """
        const result = { start: names() };
        document.querySelector("th[data-column=blocks]").click(); result.byBlocks = names();
        document.querySelector("th[data-column=blocks]").click(); result.byBlocksUp = names();
        await type("filter", "SRC/PARSE"); result.filtered = names(); result.shown = document.getElementById("shown").textContent;
        await type("filter", "nothing like it"); result.none = names();
        await type("filter", ""); await type("kind", "still_reachable"); result.reachable = names();
        await type("kind", ""); rows()[0].click(); result.detail = document.querySelector("tr.detail .stack").innerText;
        rows()[0].click(); result.closed = String(document.querySelectorAll("tr.detail").length);
        return result;
        """)
    #expect(result["errors"] == "")
    #expect(result["requests"] == "0")
    #expect(result["start"] == "cache_add|parse|accept")
    #expect(result["byBlocks"] == "accept|parse|cache_add")
    #expect(result["byBlocksUp"] == "cache_add|parse|accept")
    #expect(result["filtered"] == "parse")
    #expect(result["shown"] == "1 of 3 stacks, 2.9 KiB")
    #expect(result["none"] == "")
    #expect(result["reachable"] == "cache_add")
    let lines = try #require(result["detail"]).split(separator: "\n").map(String.init)
    #expect(lines.count == 3)
    #expect(lines[0].contains("cache_add") && lines[0].contains("src/cache_add.c:10"))
    #expect(lines[2].contains("main") && lines[2].contains("src/main.c:12"))
    #expect(result["closed"] == "0")
  }

  @Test func flameGraphZoomsAndTurns() throws {
    let result = try use(
      try page(report()),
      """
      const frames = () => [...document.querySelectorAll("#flame .f")];
      const labels = () => frames().map((frame) => (frame.querySelector("title") || frame).textContent.split(/[\\s:,(]/)[0]).join("|");
      const result = { start: String(frames().length), labels: labels() };
      frames().find((frame) => frame.textContent.includes("parse")).dispatchEvent(new MouseEvent("click", { bubbles: true }));
      result.zoomed = labels(); result.info = document.getElementById("info").textContent;
      document.getElementById("reset").click(); result.back = String(frames().length);
      document.getElementById("direction").click(); result.turned = labels();
      const search = document.getElementById("search"); search.value = "accept"; search.dispatchEvent(new Event("input"));
      result.hits = String(document.querySelectorAll("#flame .hit").length);
      return result;
      """)
    #expect(result["errors"] == "")
    // The root, main, serve, and three leaves.
    #expect(result["start"] == "6")
    #expect(result["back"] == "6")
    #expect(try #require(result["zoomed"]).contains("parse"))
    #expect(try !#require(result["zoomed"]).contains("accept"))
    #expect(try #require(result["hits"]) != "0")
    #expect(result["turned"] != result["labels"])
  }

  /// Whatever names a program has, the page shows them and does nothing else.
  @Test func hostileNames() throws {
    for (name, report) in SyntheticReports.all {
      let result = try use(
        try page(report),
        Self.helpers + """
          rows().slice(0, 20).forEach((row) => row.click());
          return { scripts: String(document.querySelectorAll("script").length), images: String(document.images.length),
            title: document.title, ours: String(document.querySelectorAll("script[src],iframe,object,embed").length) };
          """)
      #expect(result["errors"] == "", "\(name)")
      #expect(result["failed"] == nil, "\(name)")
      #expect(result["images"] == "0")
      #expect(result["ours"] == "0")
      // The data, the page's own script and the driver.
      #expect(result["scripts"] == "3", "\(name)")
    }
  }

  /// Nothing is wider than a phone but the table, which scrolls inside its own box; colours follow the system.
  @Test func phoneAndDarkMode() throws {
    let script = """
      return { wide: String(document.documentElement.scrollWidth > document.documentElement.clientWidth),
        background: getComputedStyle(document.body).backgroundColor,
        dark: String(matchMedia("(prefers-color-scheme: dark)").matches) };
      """
    let phone = try use(try page(report()), script, width: 500)
    #expect(phone["wide"] == "false")
    #expect(phone["background"] == (phone["dark"] == "true" ? "rgb(21, 23, 28)" : "rgb(255, 255, 255)"))
  }
}
