/// The findings, the totals, and how the report was taken.
extension PageScript {
  static let summary = #"""
    // Findings
    function finding(row, place) {
      const line = make("tr", undefined, "finding");
      const cell = (name, content, style) => { const made = make("td", content, style); made.dataset.label = name; line.append(made); return made; };
      cell("#", place + 1, "rank");
      cell("rate", row.rate || "");
      cell("95 %", row.interval || "", "dim");
      const where = cell("where", undefined, "name");
      where.append(make("span", "#" + (place + 1) + " ", "number"));
      const title = make("b", row.where); title.title = row.function; where.append(title);
      if (row.place) where.append(make("span", row.place, "dim"));
      if (row.process !== null) cell("process", processName(row.process) + (row.others ? " and " + whole(row.others) + " more" : ""), "dim");
      cell("held", row.held);
      cell("kind", row.kind, "kind");
      cell("of growth", row.share || "");
      const number = String(place + 1);
      pressable(line, () => { state.finding = state.finding === number ? "" : number; state.tab = "stacks"; state.open = ""; update(); if (state.finding) $("tools").scrollIntoView(); });
      return line;
    }
    function showFindings() {
      report.findings.forEach((row, place) => $("findings").append(finding(row, place)));
      const heads = ["#", "rate", "95 %", "where (first frame of yours)"].concat(report.findings.some((row) => row.process !== null) ? ["process"] : [], ["held", "kind", "of growth"]);
      heads.forEach((name) => { const head = make("th", name, name.startsWith("where") ? "name" : ""); head.scope = "col"; $("findingheads").append(explained(head, name.startsWith("where") ? "first frame of yours" : name === "95 %" ? "interval" : name)); });
      $("findingbox").hidden = !report.findings.length;
      report.remarks.forEach((remark) => $("remarks").append(make("p", remark)));
      report.next.forEach((command) => {
        const line = make("p", "next: ", "next"), code = make("code", command.replace(/^stop-gap: /, ""));
        if (command.startsWith("stop-gap: ")) line.textContent = "stop-gap: ";
        line.append(code); $("remarks").append(line);
      });
    }

    // Totals
    function card(name, value, detail, style) {
      const box = make("div", undefined, "card" + (style ? " " + style : ""));
      box.append(term(name), make("b", value), make("span", detail || ""));
      $("cards").append(box);
    }
    const lossCounters = report.loss.filter((counter) => counter.value > 0);
    function showCards() {
      const totals = report.totals, error = totals.standard_error;
      const inPage = total(sites, (site) => site.o[0]), missing = totals.o[0] - inPage;
      card("outstanding", human(totals.o[0]), counted(totals.o[1], "block") + (report.is_sampled && error ? ", ± " + human(error) : "")
        + (missing > 0 && sites.length ? "; " + human(inPage) + " of it in the stacks below" : ""));
      card("allocated", human(totals.a[0]), counted(totals.a[1], "block"));
      card("freed", human(totals.f[0]), counted(totals.f[1], "block"));
      Object.keys(report.kinds).forEach((kind) => {
        const tally = report.kinds[kind], isLost = kind === "definitely_lost" || kind === "indirectly_lost";
        card(words[kind], human(tally[0]), counted(tally[1], "block"), isLost && tally[1] ? "bad" : kind === "definitely_lost" ? "good" : "");
      });
      if (totals.unmatched_frees) card("unmatched frees", whole(totals.unmatched_frees), "of blocks from before the trace");
      card("missed while tracing", lossCounters.length ? whole(total(lossCounters, (counter) => counter.value)) : "nothing",
        lossCounters.length ? "records: see “How it was taken”" : "every event was counted", lossCounters.length ? "bad" : "good");
    }

    // How it was taken
    function showTaken() {
      const taken = $("taken");
      report.notes.forEach((note) => taken.append(make("p", note)));
      report.checks.forEach((check) => taken.append(make("p", "Leak check of process " + check.pid + ": " + check.method.replace("_", " ") + ", stopped for " + (check.paused * 1000).toFixed(0)
        + " ms, " + human(check.scanned) + " searched in " + (check.took * 1000).toFixed(0) + " ms" + (check.suppressed[1] ? ", " + human(check.suppressed[0]) + " suppressed" : ""))));
      if (report.left_out.sites) taken.append(make("p", counted(report.left_out.sites, "stack") + " with " + human(report.left_out.bytes) + " are not in this report: none of their blocks is of a kind that was to be shown."));
      if (lossCounters.length) lossCounters.forEach((counter) => taken.append(make("p", "Missed: " + whole(counter.value) + " " + counter.description)));
      else taken.append(make("p", "Nothing was missed: every counter of losses is 0."));
      if (report.processes.length > 1) {
        const fold = make("details"), list = make("table"), head = make("tr"), box = make("div", undefined, "wide");
        fold.append(make("summary", whole(report.processes.length) + " processes"));
        ["outstanding", "allocated", "freed", "state"].forEach((name) => head.append(make("th", name)));
        head.append(make("th", "process", "name")); list.append(head);
        report.processes.forEach((process) => {
          const row = make("tr");
          row.append(make("td", human(process.o[0])), make("td", human(process.a[0])), make("td", human(process.f[0])), make("td", process.state), make("td", wholeProcess(process.pid), "name"));
          list.append(row);
        });
        box.append(list); fold.append(box); taken.append(fold);
      }
      report.retention.forEach((entry) => { if (entry.finding) taken.append(make("p", "Process " + entry.pid + ": " + entry.finding)); });
      if (!report.probes.length) return;
      const fold = make("details"), list = make("table"), head = make("tr"), box = make("div", undefined, "wide");
      fold.append(make("summary", counted(report.probes.length, "probe") + ", " + counted(total(report.probes, (probe) => probe.hits), "hit")));
      ["hits", "kind"].forEach((name) => head.append(make("th", name)));
      head.append(make("th", "probe", "name"));
      list.append(head);
      report.probes.forEach((probe) => {
        const row = make("tr");
        row.append(make("td", whole(probe.hits)), make("td", probe.kind + (probe.emulated ? "" : ", single-stepped")), make("td", probe.function + " [" + probe.object + "]", "name"));
        list.append(row);
      });
      box.append(list); fold.append(box); taken.append(fold);
    }

    """#
}
