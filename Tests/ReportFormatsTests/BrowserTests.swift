import ReportFormats
import Testing
import TraceModel

/// What a report's page shows and does.
@Suite(.serialized, .enabled(if: Browser.isThere, "needs chromium"))
struct BrowserTests {
  /// Sites whose leaf functions and sizes are told apart easily, in two processes.
  private func report() -> Report {
    var report = Report(
      target: Report.Target(kind: .process, processID: 77, command: "server"),
      window: Report.Window(startInUnixSeconds: SyntheticReports.start, duration: .seconds(60)))
    let sizes: [(String, UInt64, UInt64, Int32)] = [
      ("parse", 3072, 3, 77), ("cache_add", 51_200, 1, 77), ("accept", 256, 20, 78),
    ]
    for (index, (name, bytes, count, processID)) in sizes.enumerated() {
      let functions = [name, "serve", "main"]
      let frames = functions.enumerated().map { (depth: Int, function: String) in
        Frame(
          address: UInt64(0x1000 * (index + 1) + depth), function: function, functionOffset: 4, module: "/opt/server",
          moduleOffset: 4, file: "src/\(function).c", line: 10 + depth)
      }
      let tally = Tally(bytes: bytes, count: count)
      report.totals.outstanding += tally
      var site = AllocationSite(
        processID: processID, allocationClass: .heap, allocator: "malloc", outstanding: tally, allocated: tally,
        freed: Tally(),
        stack: StackTrace(addresses: frames.map(\.address), completeness: .complete), frames: frames,
        verdicts: [index == 1 ? .stillReachable : .definitelyLost: tally])
      site.course = SiteCourse(seconds: [10, 30, 50], bytes: [0, bytes / 2, bytes])
      report.sites.append(site)
    }
    report.sites[0].growth = GrowthEvidence(
      word: .growing, slopeInBytesPerSecond: 2048, lowerSlope: 1024, upperSlope: 4096, confidence: 0.95, windows: 40,
      generationsAlive: 39, survival: 1)
    report.sites[1].heldBy = [
      Holder(
        kind: .global, name: "sessions", file: "cache.cpp", line: 12, held: Tally(bytes: 51_200, count: 1), share: 1)
    ]
    report.totals.allocated = report.totals.outstanding
    report.processes = [
      Report.ProcessTotals(processID: 77, command: "server", state: .running, totals: report.totals),
      Report.ProcessTotals(processID: 78, command: "helper", state: .running, totals: Report.Totals()),
    ]
    report.timeline = (0...6).map { (step: Int) -> Report.Moment in
      Report.Moment(
        elapsed: .seconds(step * 10), outstanding: Tally(bytes: 54_528 * UInt64(step) / 6, count: UInt64(step) * 4),
        residentBytes: 4 << 20)
    }
    report.leakChecks = [
      LeakCheckSummary(
        processID: 77,
        kinds: [.definitelyLost: Tally(bytes: 3328, count: 23), .stillReachable: Tally(bytes: 51_200, count: 1)])
    ]
    report.probes = SyntheticReports.probes
    return report
  }

  private func page(_ report: Report) throws -> [UInt8] {
    try #require(ReportFormats.named("html")).render(report, ReportOptions())
  }

  @Test func sortsFiltersAndExpands() throws {
    let result = try Browser.use(
      try page(report()),
      Browser.helpers + """
        const result = { start: names(), all: content("shown") };
        document.querySelector("th[data-column=blocks] button").click(); result.byBlocks = names();
        document.querySelector("th[data-column=blocks] button").click(); result.byBlocksUp = names(); result.sorted = location.hash;
        await type("query", "SRC/PARSE.c:10"); result.filtered = names(); result.shown = content("shown");
        await type("query", "nothing like it"); result.none = names() + content("none");
        await type("query", ""); await type("kind", "still_reachable"); result.reachable = names();
        await type("kind", ""); rows()[0].click(); result.detail = document.querySelector("tr.detail .stack").innerText;
        result.facts = document.querySelector("tr.detail .facts").innerText.replaceAll("\\n", "; ");
        rows()[0].click(); result.closed = String(document.querySelectorAll("tr.detail").length);
        rows()[0].dispatchEvent(new KeyboardEvent("keydown", { key: "Enter" })); result.byKey = String(document.querySelectorAll("tr.detail").length);
        return result;
        """)
    #expect(result["errors"] == "")
    #expect(result["failed"] == nil)
    #expect(result["requests"] == "0")
    #expect(result["start"] == "cache_add|parse|accept")
    #expect(result["all"] == "3 of 3 stacks, 53.3 KiB of 53.3 KiB outstanding (100.0 %)")
    #expect(result["byBlocks"] == "accept|parse|cache_add")
    #expect(result["byBlocksUp"] == "cache_add|parse|accept")
    #expect(result["sorted"] == "#sort=-blocks")
    #expect(result["filtered"] == "parse")
    #expect(result["shown"] == "1 of 3 stacks, 3.0 KiB of 53.3 KiB outstanding (5.6 %)")
    #expect(result["none"] == "No stack is like that.")
    #expect(result["reachable"] == "cache_add")
    let lines = try #require(result["detail"]).split(separator: "\n").map(String.init)
    #expect(lines.count == 3)
    #expect(lines.first?.contains("cache_add+0x4 [server] at src/cache_add.c:10") == true)
    #expect(lines.last?.contains("main+0x4 [server] at src/main.c:12") == true)
    #expect(result["facts"]?.contains("100.0 % held by global `sessions` (cache.cpp:12): 50.0 KiB in 1 block") == true)
    #expect(result["facts"]?.contains("still reachable 50.0 KiB in 1 block") == true)
    #expect(result["closed"] == "0")
    #expect(result["byKey"] == "1")
  }

  @Test func processesAreToldApart() throws {
    let result = try Browser.use(
      try page(report()),
      Browser.helpers + """
        const result = { choice: [...document.getElementById("process").options].map((option) => option.text).join("|"),
          column: rows().map((row) => row.querySelector("td[data-label=process]").textContent).join("|") };
        await type("process", "78"); result.chosen = names(); result.shown = content("shown"); result.address = location.hash;
        open("flame"); result.flame = labels();
        document.getElementById("all").click(); result.all = labels();
        return result;
        """)
    #expect(result["errors"] == "")
    #expect(result["choice"] == "all processes|server (77), 53.0 KiB|helper (78), 256 B")
    #expect(result["column"] == "server (77)|server (77)|helper (78)")
    #expect(result["chosen"] == "accept")
    #expect(result["shown"] == "1 of 3 stacks, 256 B of 53.3 KiB outstanding (0.5 %)")
    #expect(result["address"] == "#process=78")
    #expect(result["flame"] == "all|main|serve|accept")
    #expect(result["all"] == "all|server|main|serve|cache_add|parse|helper|main|serve|accept")
  }

  @Test func flameGraphZoomsSearchesAndTurns() throws {
    let result = try Browser.use(
      try page(report()),
      Browser.helpers + """
        const result = { start: labels(), described: bar("parse").getAttribute("aria-label") };
        await type("query", "parse"); result.matched = content("matched"); result.hits = String(document.querySelectorAll("#flame .hit").length);
        await type("query", "src/serve"); result.matchedFile = content("matched");
        await type("query", "");  result.unmatched = content("matched");
        bar("parse").dispatchEvent(new MouseEvent("click", { bubbles: true }));
        result.zoomed = labels(); result.info = content("info"); result.address = location.hash;
        document.getElementById("reset").click(); result.back = labels();
        await type("direction", "yes"); result.turned = labels();
        await type("direction", ""); await type("measure", "blocks"); result.blocks = bar("parse").getAttribute("aria-label");
        await type("measure", "growth"); result.growth = labels() + content("info");
        return result;
        """, fragment: "#tab=flame&process=77")
    #expect(result["errors"] == "")
    #expect(result["start"] == "all|main|serve|cache_add|parse")
    #expect(result["described"] == "parse (parse.c:10): 3.0 KiB, 5.7 %")
    #expect(result["matched"] == "matched “parse”: 5.7 %, 3.0 KiB of 53.0 KiB")
    #expect(result["hits"] == "1")
    #expect(result["matchedFile"] == "matched “src/serve”: 100.0 %, 53.0 KiB of 53.0 KiB")
    #expect(result["unmatched"] == "")
    #expect(result["zoomed"] == "all|main|serve|parse")
    #expect(result["info"] == "parse (parse.c:10): 3.0 KiB, 5.7 %")
    #expect(result["address"]?.contains("zoom=") == true)
    #expect(result["back"] == result["start"])
    #expect(result["turned"] == "all|cache_add|serve|main|parse|serve|main")
    #expect(result["blocks"] == "parse (parse.c:10): 3 blocks, 75.0 %")
    #expect(result["growth"] == "all|main|serve|parseall: 2.0 KiB/s, 100.0 %")
  }

  @Test func flameGraphTakesKeys() throws {
    let result = try Browser.use(
      try page(report()),
      Browser.helpers + """
        const result = { role: document.getElementById("flame").getAttribute("role"), roles: String(new Set(bars().map((bar) => bar.getAttribute("role"))).size),
          reachable: String(bars().filter((bar) => bar.tabIndex === 0).length) };
        bar("all").focus(); press("ArrowDown"); press("ArrowDown"); result.down = focused();
        press("ArrowDown"); result.widest = focused(); press("ArrowRight"); result.right = focused(); press("ArrowLeft"); result.left = focused();
        press("ArrowRight"); result.info = content("info"); press("Enter"); result.zoomed = labels(); result.kept = focused(); result.address = location.hash.replace(/[\\d.]+/, "N");
        press("Escape"); result.once = labels(); result.backAt = focused(); press("ArrowUp"); result.up = focused();
        press("Enter"); press("Escape"); press("Escape"); press("Escape"); result.out = labels(); result.home = location.hash;
        result.outline = getComputedStyle(document.activeElement.querySelector("rect")).strokeWidth;
        return result;
        """, fragment: "#tab=flame&process=77")
    #expect(result["errors"] == "")
    #expect(result["failed"] == nil)
    #expect(result["role"] == "tree")
    #expect(result["roles"] == "1")
    #expect(result["reachable"] == "1")
    #expect(result["down"] == "serve")
    #expect(result["widest"] == "cache_add")
    #expect(result["right"] == "parse")
    #expect(result["left"] == "cache_add")
    #expect(result["info"] == "parse (parse.c:10): 3.0 KiB, 5.7 %")
    #expect(result["zoomed"] == "all|main|serve|parse")
    #expect(result["kept"] == "parse")
    #expect(result["address"]?.hasPrefix("#tab=flame&process=N&zoom=") == true)
    #expect(result["once"] == "all|main|serve|cache_add|parse")
    #expect(result["backAt"] == "parse")
    #expect(result["up"] == "serve")
    #expect(result["out"] == "all|main|serve|cache_add|parse")
    #expect(result["home"] == "#tab=flame&process=77")
    #expect(result["outline"] == "2.5px")
  }

  /// What is chosen is in the address; a page that is opened with it shows the same.
  @Test func addressKeepsWhatIsChosen() throws {
    let page = try page(report())
    let look = """
      return { address: location.hash, tab: document.querySelector("[aria-selected=true]").id, query: document.getElementById("query").value,
        process: document.getElementById("process").value, group: document.getElementById("group").value, libraries: String(document.getElementById("libraries").checked),
        flame: labels(), matched: content("matched"), rows: names() };
      """
    let made = try Browser.use(
      page,
      Browser.helpers + """
        await type("process", "77"); open("graph"); await type("group", "line"); document.getElementById("libraries").click();
        open("flame"); bar("serve").dispatchEvent(new MouseEvent("click", { bubbles: true })); await type("query", "cache"); \(look)
        """)
    #expect(made["tab"] == "tab-flame")
    #expect(made["matched"]?.hasPrefix("matched “cache”: 94.3 %") == true)
    #expect(made["libraries"] == "false")
    let address = try #require(made["address"])
    let found = try Browser.use(page, Browser.helpers + look, fragment: address)
    #expect(found["errors"] == "")
    for key in ["address", "tab", "query", "process", "group", "libraries", "flame", "matched"] {
      #expect(found[key] == made[key], "\(key)")
    }
    // An address that somebody made up does no harm.
    let odd = try Browser.use(
      page, Browser.helpers + look,
      fragment: "#tab=nowhere&process=1e9&kind=constructor&measure=__proto__&zoom=1.2.3&sort=toString&finding=-4&open=x"
    )
    #expect(odd["errors"] == "")
    #expect(odd["failed"] == nil)
    #expect(odd["tab"] == "tab-stacks")
    #expect(odd["rows"] == "cache_add|parse|accept")
    #expect(odd["address"]?.contains("sort") == false && odd["address"]?.contains("process") == false)
  }

  @Test func curvesHaveAxesAndAnswerThePointer() throws {
    let result = try Browser.use(
      try page(report()),
      Browser.helpers + """
        const course = document.getElementById("course"), box = course.getBoundingClientRect();
        const result = { ticks: [...course.querySelectorAll(".tick")].map((tick) => tick.textContent).join("|"), titles: [...course.querySelectorAll(".axis")].map((axis) => axis.textContent).join("|"),
          areas: String(course.querySelectorAll(".area").length), text: content("coursetext"), legend: content("legend"), sparks: String(document.querySelectorAll("tr.site .spark").length) };
        course.dispatchEvent(new MouseEvent("mousemove", { clientX: box.right - 13, clientY: box.top + 50 })); result.end = content("tip");
        course.dispatchEvent(new MouseEvent("mouseleave")); result.hidden = String(document.getElementById("tip").hidden);
        course.focus(); press("ArrowLeft"); press("ArrowLeft"); result.key = content("tip").split("\\n")[0];
        document.querySelector("#legend button").click(); result.opened = document.querySelector("tr.detail").previousSibling.querySelector("b").textContent + location.hash;
        return result;
        """)
    #expect(result["errors"] == "")
    #expect(
      result["ticks"] == "0|20 KiB|40 KiB|0|1 MiB|2 MiB|3 MiB|4 MiB|0|15 s|30 s|45 s|60 s")
    #expect(result["titles"] == "outstanding bytes|resident memory (RSS) of the traced processes")
    #expect(result["areas"] == "3")
    #expect(result["sparks"] == "3")
    #expect(result["text"]?.hasPrefix("Highest 53.3 KiB at 1 m 00 s, at the end 53.3 KiB. Areas:") == true)
    #expect(result["legend"] == "cache_add cache_add.c:10 50.0 KiBparse parse.c:10 3.0 KiBaccept accept.c:10 256 B")
    #expect(
      result["end"]
        == "1 m 00 s\noutstanding 53.3 KiB in 24 blocks\nresident 4.0 MiB\ncache_add 50.0 KiB\nparse 3.0 KiB\naccept 256 B"
    )
    #expect(result["hidden"] == "true")
    #expect(result["key"] == "40.0 s")
    #expect(result["opened"] == "cache_add#open=1")
  }

  @Test func callGraphAddsUp() throws {
    let table = """
      [...document.querySelectorAll("#graphrows tr.node")].map((row) => [...row.children].map((cell) => cell.textContent).join(" ")).join("|")
      """
    let result = try Browser.use(
      try page(report()),
      Browser.helpers + """
        const result = { functions: \(table) };
        document.querySelectorAll("#graphrows tr.node")[1].click(); result.neighbours = document.querySelector("#graphrows .detail").innerText.replaceAll("\\n", "; ");
        await type("group", "line"); result.lines = \(table);
        document.querySelector("#graphheads [data-order=self] button").click(); result.bySelf = \(table).split("|")[0];
        await type("group", "file"); await type("query", "parse"); result.files = \(table);
        return result;
        """, fragment: "#tab=graph&process=77")
    #expect(result["errors"] == "")
    #expect(
      result["functions"] == "53.0 KiB 100.0 %   serve serve.c:11|53.0 KiB 100.0 %   main main.c:12"
        + "|50.0 KiB 94.3 % 50.0 KiB 94.3 % cache_add cache_add.c:10|3.0 KiB 5.7 % 3.0 KiB 5.7 % parse parse.c:10"
    )
    #expect(result["neighbours"]?.contains("called by") == true)
    #expect(result["neighbours"]?.contains("serve 53.0 KiB, 100.0 %") == true)
    #expect(result["lines"]?.contains("50.0 KiB 94.3 % 50.0 KiB 94.3 % src/cache_add.c:10 cache_add") == true)
    #expect(result["bySelf"]?.hasSuffix("src/cache_add.c:10 cache_add") == true)
    #expect(result["files"] == "3.0 KiB 5.7 % 3.0 KiB 5.7 % src/parse.c server")
  }

  /// Every word that the page underlines is explained, where it stands and in the list.
  @Test func wordsAreExplained() throws {
    let result = try Browser.use(
      try page(report()),
      Browser.helpers + """
        rows().forEach((row) => row.click());
        const terms = [...document.querySelectorAll("button.term, #heads button, #findingheads th")];
        const result = { unexplained: terms.filter((term) => !term.title && term.textContent !== "#").map((term) => term.textContent).join(), count: String(terms.length),
          probes: String([...document.querySelectorAll("#taken details")].some((fold) => fold.open)) };
        document.querySelector(".card .term").click(); result.tip = content("tip"); result.shown = String(!document.getElementById("tip").hidden);
        document.body.click(); result.gone = String(document.getElementById("tip").hidden);
        open("words"); result.words = [...document.querySelectorAll("#words summary")].filter((word) => word.getClientRects().length).map((word) => word.textContent).join();
        return result;
        """)
    #expect(result["errors"] == "")
    #expect(result["unexplained"] == "")
    #expect(result["probes"] == "false")
    #expect(
      result["tip"]
        == "outstanding: Allocated since the trace began, and not freed until now. Outstanding memory is not yet a leak."
    )
    #expect(result["shown"] == "true")
    #expect(result["gone"] == "true")
    for word in [
      "definitely lost", "possibly lost", "still reachable", "held by", "growing", "plateau", "startup", "unclear",
      "survivor", "sampling error", "unmatched frees", "INCOMPLETE",
    ] {
      #expect(result["words"]?.split(separator: ",").contains(Substring(word)) == true, "\(word)")
    }
  }

  /// A report that lacks stacks says what part of the memory it shows.
  @Test func missingStacksAreSaid() throws {
    var part = report()
    part.sites.remove(at: 1)
    let result = try Browser.use(
      try page(part),
      Browser.helpers + """
        return { shown: content("shown"), card: document.querySelector(".card").innerText.replaceAll("\\n", " "), course: content("coursetext") };
        """)
    #expect(result["shown"] == "2 of 2 stacks, 3.3 KiB of 53.3 KiB outstanding (6.1 %)")
    #expect(result["card"]?.contains("53.3 KiB 24 blocks; 3.3 KiB of it in the stacks below") == true)
    #expect(result["course"]?.contains("at the end 53.3 KiB, of which the stacks of this page hold 3.3 KiB.") == true)
  }

  /// Whatever names a program has, the page shows them and does nothing else.
  @Test func hostileNames() throws {
    for (name, report) in SyntheticReports.all {
      let result = try Browser.use(
        try page(report),
        Browser.helpers + """
          rows().slice(0, 20).forEach((row) => row.click());
          ["flame", "graph", "words", "taken"].forEach(open);
          return { scripts: String(document.querySelectorAll("script").length), images: String(document.images.length),
            title: document.title, ours: String(document.querySelectorAll("script[src],iframe,object,embed").length) };
          """)
      #expect(result["errors"] == "", "\(name)")
      #expect(result["failed"] == nil, "\(name)")
      #expect(result["images"] == "0")
      #expect(result["ours"] == "0")
      // The data, the page's own script, and two of the test.
      #expect(result["scripts"] == "4", "\(name)")
    }
  }

  // MARK: Sizes

  @Test(arguments: Browser.Size.all) func fitsTheScreen(size: Browser.Size) throws {
    let result = try Browser.use(
      try page(report()),
      Browser.helpers + """
        const result = { width: String(innerWidth), wide: "" };
        rows()[0].click();
        for (const tab of ["stacks", "flame", "graph", "words", "taken"]) {
          open(tab);
          if (document.documentElement.scrollWidth > document.documentElement.clientWidth) result.wide += tab + " " + document.documentElement.scrollWidth + " ";
        }
        document.querySelectorAll("details").forEach((fold) => { fold.open = true; });
        if (document.documentElement.scrollWidth > document.documentElement.clientWidth) result.wide += "open " + document.documentElement.scrollWidth;
        open("stacks"); result.row = getComputedStyle(rows()[0]).display; result.heads = getComputedStyle(document.querySelector("#panel-stacks thead")).display;
        result.sort = getComputedStyle(document.querySelector("#panel-stacks .narrow")).display;
        result.labels = rows()[0].querySelector("td").dataset.label + getComputedStyle(rows()[0].querySelector("td"), "::before").content;
        open("flame"); const box = bar("cache_add").getBoundingClientRect(); result.tall = String(Math.round(box.height)); result.inside = String(box.right <= innerWidth);
        result.label = bar("cache_add").querySelector("text").textContent; result.size = bar("cache_add").querySelector("text").getAttribute("font-size");
        return result;
        """, size: size)
    #expect(result["errors"] == "")
    #expect(result["failed"] == nil)
    #expect(result["width"] == "\(size.width)")
    #expect(result["wide"] == "")
    #expect(result["label"] == "cache_add")
    #expect(result["inside"] == "true")
    if size == .phone {
      // Rows are cards, sorted by a list, and bars are tall enough for a finger.
      #expect(result["row"] == "grid")
      #expect(result["heads"] == "none")
      #expect(result["sort"] == "flex")
      #expect(result["labels"] == "bytes\"bytes\"")
      #expect(Int(result["tall"] ?? "").map { $0 >= 32 } == true)
      #expect(result["size"] == "13")
    } else {
      #expect(result["row"] == "table-row")
      #expect(result["heads"] == "table-header-group")
      #expect(result["sort"] == "none")
    }
  }

  @Test(arguments: [false, true]) func followsTheColoursOfTheSystem(isDark: Bool) throws {
    let script = """
      return { background: getComputedStyle(document.body).backgroundColor,
        dark: String(matchMedia("(prefers-color-scheme: dark)").matches) };
      """
    let result = try Browser.use(try page(report()), script, isDark: isDark)
    #expect(result["dark"] == "\(isDark)")
    #expect(result["background"] == (isDark ? "rgb(21, 23, 28)" : "rgb(255, 255, 255)"))
  }
}
