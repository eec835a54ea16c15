import ReportFormats
import Testing
import TraceModel

/// How a page begins, and which frames it hides.
@Suite(.serialized, .enabled(if: Browser.isThere, "needs chromium"))
struct BrowserFindingsTests {
  /// `parse` leaks by two ways through the standard library, `remember` fills a table, and `ring` stays as it is.
  private func report() -> Report {
    var report = Report(
      target: Report.Target(kind: .process, processID: 77, command: "/opt/svc --port 80", executable: "/opt/svc"),
      window: Report.Window(startInUnixSeconds: SyntheticReports.start, duration: .seconds(60)))
    let library = Frame(address: 1, function: "operator new(unsigned long)", module: "/usr/lib/libstdc++.so.6")
    let outer = Frame(address: 9, function: "main", module: "/opt/svc", file: "src/svc.cpp", line: 40)
    func site(
      _ function: String, line: Int, through: String, bytes: UInt64, _ kind: VerdictKind, _ word: GrowthEvidence.Word,
      slope: Double
    ) -> AllocationSite {
      let frames = [
        library,
        Frame(address: 2, function: through, module: "/opt/svc", file: "/usr/include/c++/12/vector", line: 3),
        Frame(address: UInt64(line), function: function, module: "/opt/svc", file: "src/svc.cpp", line: line), outer,
      ]
      let tally = Tally(bytes: bytes, count: bytes / 16)
      var site = AllocationSite(
        processID: 77, allocationClass: .heap, allocator: "operator new", outstanding: tally, allocated: tally,
        freed: Tally(), stack: StackTrace(addresses: frames.map(\.address), completeness: .complete), frames: frames,
        verdicts: [kind: tally])
      site.growth = GrowthEvidence(
        word: word, slopeInBytesPerSecond: slope, lowerSlope: slope * 0.9, upperSlope: slope * 1.1, confidence: 0.95,
        windows: 60, generationsAlive: 58, survival: 1)
      return site
    }
    report.sites = [
      site(
        "remember(int)", line: 11, through: "std::vector<int, std::allocator<int> >::push_back(int&&)", bytes: 524_288,
        .stillReachable, .growing, slope: 8192),
      site(
        "parse(std::string const&)", line: 13, through: "std::make_unique<Node>()", bytes: 1_048_576, .definitelyLost,
        .growing, slope: 16_384),
      site(
        "parse(std::string const&)", line: 13, through: "std::vector<char>::resize(unsigned long)", bytes: 65_536,
        .definitelyLost, .growing, slope: 1024),
      site(
        "ring()", line: 14, through: "std::vector<char>::resize(unsigned long)", bytes: 220 << 10, .stillReachable,
        .plateau, slope: 0),
    ]
    report.sites[0].holders = ["CPython arena": Tally(bytes: 524_288, count: 32_768)]
    for site in report.sites { report.totals.outstanding += site.outstanding }
    report.totals.allocated = report.totals.outstanding
    report.processes = [
      Report.ProcessTotals(processID: 77, command: "svc", state: .running, totals: report.totals)
    ]
    report.leakChecks = [
      LeakCheckSummary(
        processID: 77,
        kinds: [
          .definitelyLost: Tally(bytes: 1_114_112, count: 69_632),
          .stillReachable: Tally(bytes: 749_568, count: 46_848),
        ])
    ]
    return report
  }

  @Test func theAnswerComesFirst() throws {
    let result = try Browser.use(
      HTMLReport.render(report()),
      Browser.helpers + """
        const found = () => [...document.querySelectorAll("#findings tr")];
        const result = { title: document.querySelector("h1").textContent, bad: document.querySelector("h1").className,
          below: [...document.querySelectorAll("header p")].map((line) => line.textContent).join("|"),
          heads: [...document.querySelectorAll("#findingheads th")].map((head) => head.textContent).join("|"),
          rows: found().map((row) => [...row.children].map((cell) => cell.innerText).join(";")).join("|"), remarks: content("remarks"),
          first: String(document.querySelector("#findings").getBoundingClientRect().bottom < innerHeight) };
        found()[0].click(); result.stacks = names(); result.shown = content("shown"); result.address = location.hash; result.on = String(found()[0].classList.contains("on"));
        found()[0].click(); result.all = names();
        return result;
        """)
    #expect(result["errors"] == "")
    #expect(result["failed"] == nil)
    #expect(result["title"] == "svc (77) LEAKS 25.0 KiB/s = 87.9 MiB/h")
    #expect(result["bad"] == "bad")
    #expect(result["below"]?.hasPrefix("1 m 00 s, nothing missed|/opt/svc --port 80 · /opt/svc|") == true)
    #expect(result["heads"] == "#|rate|95 %|where (first frame of yours)|held|kind|of growth")
    #expect(
      result["rows"] == "1;17.0 KiB/s;15.4–18.6;parse svc.cpp:13 ×2;1.1 MiB;definitely lost;68 %"
        + "|2;8.0 KiB/s;7.2–8.8;remember svc.cpp:11;512.0 KiB;held by `CPython arena`;32 %")
    #expect(
      result["remarks"] == "bounded: ring svc.cpp:14, 220.0 KiB, plateau"
        + "held 1.8 MiB in 116,480 blocks; 4 of 4 stacks, 100 % of the bytes")
    #expect(result["first"] == "true")
    #expect(result["stacks"] == "parse|parse")
    #expect(result["shown"] == "2 of 4 stacks, 1.1 MiB of 1.8 MiB outstanding (59.8 %), finding 1")
    #expect(result["address"] == "#finding=1")
    #expect(result["on"] == "true")
    #expect(result["all"] == "parse|remember|ring|parse")
  }

  /// A page begins with the words of the text report.
  @Test func wordsAreThoseOfTheText() throws {
    let report = report()
    var options = ReportOptions()
    options.text.width = 200
    let text = String(decoding: try #require(ReportFormats.named("text")).render(report, options), as: UTF8.self)
    let result = try Browser.use(
      HTMLReport.render(report, options.text),
      Browser.helpers + """
        const words = [...document.querySelectorAll("#findings tr")].flatMap((row) => [...row.children].map((cell) => cell.innerText));
        return { words: words.concat([...document.querySelectorAll("#remarks p")].map((line) => line.textContent)).join("|"), title: document.querySelector("h1").textContent };
        """)
    let words = try #require(result["words"]).split(separator: "|").map(String.init)
    #expect(words.count >= 16)
    for word in words { #expect(text.contains(word), "\(word)") }
    let first = text.prefix { $0 != "\n" }.split(separator: " ", omittingEmptySubsequences: true).joined(separator: " ")
    #expect(first.hasPrefix(try #require(result["title"])), "\(first)")
  }

  /// Frames of the standard library and of allocators are hidden until somebody wants them, in every view.
  @Test func libraryFramesAreHidden() throws {
    let result = try Browser.use(
      HTMLReport.render(report()),
      Browser.helpers + """
        const result = { where: rows()[0].lastChild.textContent };
        rows()[0].click(); result.stack = document.querySelector("tr.detail .stack").innerText; document.querySelector("tr.detail .fold").click();
        result.unfolded = String(document.querySelectorAll("tr.detail .stack > div").length);
        open("flame"); result.flame = labels(); document.getElementById("libraries").click(); result.whole = labels(); result.address = location.hash;
        open("graph"); result.names = [...document.querySelectorAll("#graphrows b")].map((name) => name.textContent).join("|");
        return result;
        """)
    #expect(result["errors"] == "")
    #expect(result["where"] == "parse svc.cpp:13 through std::make_unique, operator new")
    let lines = try #require(result["stack"]).split(separator: "\n")
    #expect(lines.count == 3)
    #expect(lines.first == "… 2 frames of libraries and allocators: std::make_unique")
    #expect(lines.dropFirst().first?.hasPrefix("parse(std::string const&) [svc] at src/svc.cpp:13") == true)
    #expect(result["unfolded"] == "4")
    #expect(result["flame"] == "all|main|parse(std::string const&)|remember(int)|ring()")
    #expect(result["whole"]?.contains("operator new(unsigned long)") == true)
    #expect(result["whole"]?.contains("std::make_unique<Node>()") == true)
    #expect(result["address"] == "#tab=flame&libraries=shown&open=1")
    #expect(result["names"]?.contains("std::make_unique") == true)
  }

  /// What is missing is said in the headline, and nothing is called bounded then.
  @Test func incompleteIsSaidFirst() throws {
    var report = report()
    report.loss = [
      Report.LossCounter(name: "blocks_refused", description: "blocks not recorded: the table was full", value: 9000)
    ]
    let result = try Browser.use(
      HTMLReport.render(report),
      Browser.helpers + """
        return { title: document.querySelector("h1").textContent, warning: [...document.querySelectorAll("header .warning")].map((line) => line.textContent).join("|"), remarks: content("remarks"),
          card: document.querySelector("#cards").lastChild.innerText.replaceAll("\\n", " ") };
        """)
    #expect(result["errors"] == "")
    #expect(result["title"]?.hasPrefix("svc (77) LEAKS, INCOMPLETE at least ") == true)
    #expect(result["warning"]?.hasPrefix("missing: 9,000 blocks not recorded: the table was full; more room:") == true)
    #expect(result["remarks"]?.contains("bounded") == false)
    #expect(result["card"]?.hasPrefix("missed while tracing 9,000") == true)
  }

  /// A trace of the kernel has no course of everything, but of its callers; and command lines are cut to what tells them apart.
  @Test func kernelsHaveCoursesAndNames() throws {
    var report = report()
    report.target = Report.Target(kind: .kernel)
    report.processes = []
    report.timeline = []
    for index in report.sites.indices {
      report.sites[index].course = SiteCourse(seconds: [10, 30, 50], bytes: [0, 100, 200])
      report.sites[index].frames = [
        Frame(address: UInt64(index), function: "caller_\(index)", module: "[kernel]"),
        Frame(address: 99, function: "do_syscall_64", module: "[kernel]"),
      ]
      report.sites[index].processID = index == 0 ? 0 : 100
      report.sites[index].kernel = KernelSiteDetails(
        cache: "filp",
        processes: [
          KernelSiteDetails.Share(
            processID: 100, command: "/usr/bin/env bash /opt/scripts/run.sh --all",
            outstanding: Tally(bytes: 1, count: 1))
        ])
    }
    let result = try Browser.use(
      HTMLReport.render(report),
      Browser.helpers + """
        const result = { title: document.querySelector("h1").textContent, areas: String(document.querySelectorAll("#course .area").length), text: content("coursetext"),
          choice: [...document.getElementById("process").options].map((option) => option.text.split(",")[0]).join("|") };
        document.getElementById("course").focus(); press("ArrowRight"); result.tip = content("tip").split("\\n").length + "";
        rows()[0].click(); result.detail = document.querySelector("tr.detail").innerText.replaceAll("\\n", "; ");
        return result;
        """)
    #expect(result["errors"] == "")
    #expect(result["failed"] == nil)
    #expect(result["title"]?.hasPrefix("the kernel ") == true)
    #expect(result["areas"] == "4")
    #expect(result["text"] == "Areas: the least that each stack held in each part of the run.")
    #expect(result["choice"] == "all processes|bash run.sh (100)|no process")
    #expect(result["tip"] == "5")
    #expect(result["detail"]?.contains("/usr/bin/env bash /opt/scripts/run.sh --all (100)") == true)
    #expect(result["detail"]?.contains("[kernel]") == true && result["detail"]?.contains("[[kernel]]") == false)
  }

  @Test(arguments: Browser.Size.all) func theAnswerFits(size: Browser.Size) throws {
    let result = try Browser.use(
      HTMLReport.render(report()),
      """
      const box = document.querySelector("#findingbox .wide");
      return { page: String(document.documentElement.scrollWidth <= document.documentElement.clientWidth), box: String(box.scrollWidth <= box.clientWidth),
        row: getComputedStyle(document.querySelector("#findings tr")).display, first: document.querySelector("#findings td.name").innerText.split("\\n")[0] };
      """, size: size)
    #expect(result["errors"] == "")
    #expect(result["page"] == "true")
    #expect(result["box"] == "true")
    #expect(result["row"] == (size == .phone ? "grid" : "table-row"))
    #expect(result["first"]?.contains("parse") == true)
    #expect(result["first"]?.hasPrefix("#1 ") == (size == .phone))
  }
}
