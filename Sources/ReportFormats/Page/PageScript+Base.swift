import TraceModel

/// What all parts of the page's script use: the data, what is chosen, numbers, explanations.
extension PageScript {
  static let base = #"""
    "use strict";
    const report = JSON.parse(document.getElementById("report").textContent);
    const $ = (id) => document.getElementById(id);
    const text = (index) => index < 0 ? "" : report.strings[index];
    const drawing = "http://www.w3.org/2000/svg";
    // An element whose content is text, never markup.
    function make(tag, content, style) {
      const made = document.createElement(tag);
      if (content !== undefined) made.textContent = content;
      if (style) made.className = style;
      return made;
    }
    function draw(tag, attributes) {
      const made = document.createElementNS(drawing, tag);
      Object.keys(attributes).forEach((name) => made.setAttribute(name, attributes[name]));
      return made;
    }
    \#(QuantityScript.source)
    const words = { \#(kindWords) };

    // What is shown is in the address, so that it can be sent to somebody and survives a reload.
    const initial = { tab: "stacks", query: "", process: "", kind: "", finding: "", sort: "bytes", up: "", zoom: "", measure: "bytes", libraries: "", group: "function", order: "total", open: "" };
    const state = Object.assign({}, initial);
    function readAddress() {
      Object.assign(state, initial);
      new URLSearchParams(location.hash.slice(1)).forEach((value, name) => { if (Object.hasOwn(initial, name)) state[name] = value; });
    }
    function writeAddress() {
      const fields = new URLSearchParams();
      Object.keys(initial).forEach((name) => { if (state[name] !== initial[name]) fields.set(name, state[name]); });
      const address = "#" + fields;
      // A page without an address of its own, such as one in a frame, has none to keep.
      if (location.hash !== address && location.hash + "#" !== address) try { history.replaceState(null, "", address); } catch (error) { return; }
    }

    // A name without parameters and the arguments of templates.
    const bareNames = new Map();
    function bare(name) {
      if (!/[(<]/.test(name)) return name;
      const known = bareNames.get(name);
      if (known !== undefined) return known;
      let short = name.replaceAll("(anonymous namespace)::", "").replace(/\[abi:\w+\]/g, "");
      if (!short.includes("operator")) {
        let depth = 0, kept = "";
        for (const letter of short) {
          if (letter === "<") depth++;
          if (!depth) kept += letter;
          if (letter === ">" && depth) depth--;
        }
        if (/\)( const)?$/.test(kept)) kept = kept.slice(0, kept.indexOf("("));
        // The type that a template's function returns stands before its name.
        kept = kept.slice(kept.lastIndexOf(" ") + 1);
        if (kept) short = kept;
      }
      bareNames.set(name, short);
      return short;
    }

    // Stacks
    const commands = new Map(report.commands.map((entry) => [entry.pid, entry.command]));
    // A command line in few words: the program, and the script that it runs.
    function brief(command) {
      const words = command.split(" "), base = (word) => word.startsWith("/") || word.startsWith("./") ? word.split("/").pop() : word;
      if (words[0].endsWith("/env") && words.length > 1) words.shift();
      const script = words.length > 1 && !words[1].startsWith("-") ? " " + base(words[1]) : "";
      return (base(words[0]) + script).slice(0, 60);
    }
    const processName = (pid) => pid ? brief(commands.get(pid) || "process") + " (" + pid + ")" : "no process";
    const wholeProcess = (pid) => pid ? (commands.get(pid) || "process") + " (" + pid + ")" : "no process";
    const frames = report.frames.map((row) => ({
      full: text(row[0]), module: text(row[1]), file: text(row[2]), line: row[3], isInlined: row[4] === 1, reason: text(row[5]), name: text(row[6]), nameID: row[6], isYours: row[7] === 1,
    }));
    frames.forEach((frame) => {
      const file = frame.file.split("/").pop();
      frame.place = file ? file + (frame.line ? ":" + frame.line : "") : "";
      frame.object = frame.module.split("/").pop().replace(/^\[(.*)\]$/, "$1");
      frame.haystack = (frame.name + "\n" + frame.module + "\n" + frame.file + (frame.line ? ":" + frame.line : "")).toLowerCase();
    });
    const unknownCallers = { full: "[callers unknown]", module: "", file: "", line: 0, reason: "", name: "[callers unknown]", nameID: -2, isYours: true, place: "", object: "", haystack: "" };
    const noStack = Object.assign({}, unknownCallers, { full: "[no stack]", name: "[no stack]", nameID: -3 });
    const sites = report.sites.map((site, index) => {
      const stack = site.s.map((frame) => frames[frame]);
      const own = site.own >= 0 && stack[site.own] ? stack[site.own] : stack[0];
      return Object.assign(site, { index, stack, own, title: own ? bare(own.name) : site.cache || site.by });
    });
    const hasKinds = Object.keys(report.kinds).length > 0;
    const hidesLibraries = () => state.libraries !== "shown";
    // The frames of a stack that are shown, leaf first.
    function path(site) {
      let shown = site.stack;
      if (hidesLibraries() && shown.some((frame) => frame.isYours)) shown = shown.filter((frame) => frame.isYours);
      if (!shown.length) shown = [noStack];
      return site.end === "broken" || site.end === "truncated" ? shown.concat(unknownCallers) : shown;
    }
    // Bytes and blocks of the kind that is asked for.
    const tally = (site) => state.kind ? (site.v && site.v[state.kind]) || [0, 0] : site.o;
    const lostBytes = (site) => ["definitely_lost", "indirectly_lost"].reduce((sum, kind) => sum + (site.v && site.v[kind] ? site.v[kind][0] : 0), 0);
    const measures = {
      bytes: ["outstanding bytes", (site) => tally(site)[0], (value) => human(value)],
      blocks: ["outstanding blocks", (site) => tally(site)[1], (value) => counted(value, "block")],
      growth: ["growth", (site) => site.g && site.g.word === "growing" ? Math.max(0, site.g.slope) : 0, (value) => rate(value)],
      allocated: ["allocated bytes", (site) => site.a[0], (value) => human(value)],
    };
    if (!sites.some((site) => measures.growth[1](site) > 0)) delete measures.growth;
    const measured = (site) => measures[state.measure][1](site);
    const showMeasured = (value) => measures[state.measure][2](value);
    const wanted = () => state.query.trim().toLowerCase();
    const isHit = (frame, query) => query !== "" && frame.haystack.includes(query);
    function hasName(site, query) {
      return !query || site.stack.some((frame) => frame.haystack.includes(query)) || site.by.toLowerCase().includes(query) || (site.cache || "").toLowerCase().includes(query);
    }
    // The stacks that the chosen process, kind and finding leave: what tables and graphs are about.
    function chosen() {
      const finding = report.findings[Number(state.finding) - 1];
      const ofFinding = state.finding && finding ? new Set(finding.sites) : null;
      return sites.filter((site) => (!state.process || String(site.p) === state.process) && (!state.kind || (site.v && site.v[state.kind]))
        && (!ofFinding || ofFinding.has(site.index)));
    }
    const share = (part, whole) => (whole > 0 ? 100 * part / whole : 0).toFixed(1) + " %";
    const most = (list, value) => list.reduce((top, item) => Math.max(top, value(item)), 1);
    const total = (list, value) => list.reduce((sum, item) => sum + value(item), 0);
    // Opens or closes what stands below a row, by click or by Enter.
    function pressable(element, action) {
      element.tabIndex = 0;
      element.addEventListener("click", action);
      element.addEventListener("keydown", (event) => { if (event.target === element && (event.key === "Enter" || event.key === " ")) { event.preventDefault(); action(event); } });
    }

    // Words: a term says what it means when it is pointed at or pressed.
    const meanings = new Map([...document.querySelectorAll("#words details")].map((entry) => [entry.dataset.word, entry.lastElementChild.textContent]));
    function explained(element, word) {
      const meaning = meanings.get(word);
      if (!meaning) return element;
      element.title = word + ": " + meaning;
      element.classList.add("word");
      element.dataset.word = word;
      return element;
    }
    function term(word, content) {
      const button = explained(make("button", content || word, "term"), word);
      button.type = "button";
      button.addEventListener("click", (event) => { event.stopPropagation(); note(button, button.title); });
      return button;
    }
    // A note beside an element, which stays until the next press.
    function note(element, content) {
      const box = element.getBoundingClientRect();
      $("tip").textContent = content;
      showTip(box.left, box.bottom, true);
    }
    function showTip(x, y, isPinned) {
      const tip = $("tip");
      tip.hidden = false;
      tip.dataset.pinned = isPinned ? "yes" : "";
      const width = tip.offsetWidth, height = tip.offsetHeight;
      tip.style.left = Math.max(4, Math.min(x + 12, document.documentElement.clientWidth - width - 8)) + "px";
      tip.style.top = (y + 16 + height > innerHeight ? Math.max(4, y - height - 12) : y + 12) + "px";
    }
    function hideTip() { if ($("tip").dataset.pinned !== "yes") $("tip").hidden = true; }
    document.addEventListener("click", () => { $("tip").hidden = true; $("tip").dataset.pinned = ""; });

    """#
}
