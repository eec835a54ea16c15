/// Tools, tabs, and the address.
extension PageScript {
  static let main = #"""
    // Tools, tabs, and what follows from a change of any of them
    const tabs = { stacks: showStacks, flame: showFlame, graph: showGraph, words: () => {}, taken: () => {} };
    const fields = { query: "query", process: "process", kind: "kind", measure: "measure", up: "direction", group: "group" };
    function check() {
      if (!Object.hasOwn(tabs, state.tab)) state.tab = initial.tab;
      if (!Object.hasOwn(measures, state.measure)) state.measure = initial.measure;
      if (!Object.hasOwn(groups, state.group)) state.group = initial.group;
      if (!columns.some((column) => column[0] === state.sort.replace("-", ""))) state.sort = initial.sort;
      if (!report.findings[Number(state.finding) - 1]) state.finding = "";
      if (!["total", "self", "name"].includes(state.order)) state.order = initial.order;
      ["process", "kind"].forEach((name) => { if (![...$(name).options].some((option) => option.value === state[name])) state[name] = ""; });
    }
    function update() {
      check();
      Object.keys(fields).forEach((name) => { if ($(fields[name]).value !== state[name]) $(fields[name]).value = state[name]; });
      $("libraries").checked = hidesLibraries();
      Object.keys(tabs).forEach((name) => {
        const isOn = name === state.tab;
        $("tab-" + name).setAttribute("aria-selected", String(isOn)); $("tab-" + name).tabIndex = isOn ? 0 : -1;
        $("panel-" + name).hidden = !isOn;
      });
      $("tools").classList.toggle("quiet", state.tab === "words" || state.tab === "taken");
      document.querySelectorAll("#findings tr").forEach((row, index) => row.classList.toggle("on", state.finding === String(index + 1)));
      const list = chosen(), shown = list.filter((site) => hasName(site, wanted())), bytes = total(shown, (site) => tally(site)[0]), all = report.totals.o[0];
      $("shown").textContent = whole(shown.length) + " of " + counted(sites.length, "stack") + ", " + human(bytes) + " of " + human(all) + " outstanding (" + share(bytes, all) + ")" + (state.finding ? ", finding " + state.finding : "");
      $("all").hidden = !(state.query || state.process || state.kind || state.finding);
      showCourse();
      tabs[state.tab]();
      writeAddress();
    }
    function start() {
      const option = (select, value, label) => { const made = make("option", label); made.value = value; $(select).append(made); };
      const byProcess = new Map();
      sites.forEach((site) => byProcess.set(site.p, (byProcess.get(site.p) || 0) + site.o[0]));
      [...byProcess].sort((a, b) => b[1] - a[1]).forEach((entry) => option("process", String(entry[0]), processName(entry[0]) + ", " + human(entry[1])));
      $("process").hidden = byProcess.size < 2;
      Object.keys(words).forEach((kind) => { if (sites.some((site) => site.v && site.v[kind])) option("kind", kind, words[kind]); });
      $("kind").hidden = $("kind").options.length < 2;
      Object.keys(measures).forEach((name) => option("measure", name, measures[name][0]));
      Object.keys(groups).forEach((name) => option("group", name, "by " + groups[name][0]));
      $("librariesbox").hidden = !frames.some((frame) => !frame.isYours);
      showFindings(); showCards(); showHeads(); showTaken();
      Object.keys(fields).forEach((name) => {
        let pending = 0;
        const changed = () => { state[name] = $(fields[name]).value; limit = 200; if (name !== "query") state.zoom = ""; update(); };
        $(fields[name]).addEventListener(name === "query" ? "input" : "change", () => { clearTimeout(pending); if (name === "query") pending = setTimeout(changed, 80); else changed(); });
      });
      $("sort").addEventListener("change", () => { state.sort = $("sort").value; update(); });
      $("libraries").addEventListener("change", () => { state.libraries = $("libraries").checked ? "" : "shown"; state.zoom = ""; update(); });
      $("all").addEventListener("click", () => { ["query", "process", "kind", "finding", "zoom"].forEach((name) => { state[name] = ""; }); update(); });
      $("reset").addEventListener("click", () => { state.zoom = ""; update(); });
      $("more").addEventListener("click", () => { limit += 500; showStacks(); });
      $("graphmore").addEventListener("click", () => { graphLimit += 500; showGraph(); });
      $("flame").addEventListener("keydown", flameKey);
      [...$("graphheads").children].forEach((head) => { if (head.dataset.order) head.firstChild.addEventListener("click", () => { state.order = head.dataset.order; update(); }); });
      const names = Object.keys(tabs);
      names.forEach((name, place) => {
        $("tab-" + name).addEventListener("click", () => { state.tab = name; update(); });
        $("tab-" + name).addEventListener("keydown", (event) => {
          const move = { ArrowRight: 1, ArrowLeft: names.length - 1 }[event.key];
          if (!move) return;
          state.tab = names[(place + move) % names.length]; update(); $("tab-" + state.tab).focus();
        });
      });
      addEventListener("hashchange", () => { readAddress(); update(); });
      let width = innerWidth;
      addEventListener("resize", () => { if (innerWidth !== width) { width = innerWidth; showCourse(); if (state.tab === "flame") showFlame(); } });
      readAddress(); update();
      document.body.dataset.ready = "yes";
    }
    start();

    """#
}
