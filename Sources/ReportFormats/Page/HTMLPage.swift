import TraceModel

/// What is the same in every page.
enum HTMLPage {
  static let style = #"""
    :root{--bg:#fff;--fg:#1c1f24;--dim:#667;--line:#d9dde3;--soft:#f4f6f8;--link:#0b62c4;--bad:#c02626;--good:#17803d;--bar:#e8a13a}
    @media(prefers-color-scheme:dark){:root{--bg:#15171c;--fg:#e3e6ea;--dim:#9aa3ad;--line:#31353d;--soft:#1d2027;--link:#7ab7ff;--bad:#ff7b72;--good:#56d364;--bar:#b97a1d}}
    *{box-sizing:border-box}body{margin:0 auto;max-width:1240px;padding:12px 16px 60px;background:var(--bg);color:var(--fg);font:14px/1.45 system-ui,sans-serif}
    h1{font-size:20px;margin:8px 0;overflow-wrap:anywhere}h2{font-size:16px;margin:26px 0 8px}header p{margin:2px 0;color:var(--dim);overflow-wrap:anywhere}
    .cards{display:grid;grid-template-columns:repeat(auto-fill,minmax(190px,1fr));gap:10px;margin-top:14px}
    .card{border:1px solid var(--line);border-radius:8px;padding:8px 12px;background:var(--soft)}.card b{display:block;font-size:17px}.card span{color:var(--dim)}
    .bad b{color:var(--bad)}.good b{color:var(--good)}
    .tools{display:flex;flex-wrap:wrap;gap:8px;margin:8px 0}input,select,button{font:inherit;padding:5px 9px;border:1px solid var(--line);border-radius:6px;background:var(--bg);color:var(--fg)}
    input{flex:1 1 220px;min-width:0}button{cursor:pointer;color:var(--link)}
    .wide{overflow-x:auto}table{border-collapse:collapse;width:100%}th,td{padding:4px 8px;text-align:right;border-bottom:1px solid var(--line);white-space:nowrap;vertical-align:top}
    th{cursor:pointer;color:var(--dim);font-weight:600;position:sticky;top:0;background:var(--bg)}th.on{color:var(--link)}
    td.name,th.name{text-align:left;white-space:normal;overflow-wrap:anywhere;min-width:260px;font-family:ui-monospace,Menlo,monospace;font-size:12.5px}
    tr.site{cursor:pointer}tr.site:hover{background:var(--soft)}.stack{margin:4px 0 8px;padding-left:10px;border-left:3px solid var(--line)}.stack div{padding:1px 0}
    .dim{color:var(--dim)}svg text{fill:var(--fg)}#flame{width:100%;height:auto;display:block}#flame .f text{fill:#111;pointer-events:none}#flame .f{cursor:pointer}#flame .hit rect{fill:#b14ae0}
    #course{width:100%;height:170px}#course path{fill:none;stroke:var(--link);stroke-width:1.6}#course .rss{stroke:var(--dim);stroke-dasharray:4 3}#course line{stroke:var(--line)}
    @media(max-width:640px){.opt{display:none}body{padding:8px 10px 40px}}

    """#

  static let body = #"""
    <section class="cards" id="cards"></section>
    <section id="coursebox"><h2>Outstanding over time</h2><svg id="course" viewBox="0 0 1000 170" preserveAspectRatio="none"></svg><p class="dim" id="coursetext"></p></section>
    <section><h2>Call stacks</h2><div class="tools">
    <input id="filter" type="search" title="Filter by function, module, file or allocator" aria-label="Filter">
    <select id="kind" aria-label="Kind"><option value="">all kinds</option></select><span class="dim" id="shown"></span></div>
    <div class="wide"><table><thead><tr id="heads"></tr></thead><tbody id="rows"></tbody></table></div><div class="tools"><button id="more" type="button">Show more</button></div></section>
    <section><h2>Flame graph</h2><div class="tools"><select id="measure" aria-label="Measure"></select><button id="direction" type="button">Bottom-up</button>
    <button id="reset" type="button">Reset</button><input id="search" type="search" title="Highlight frames" aria-label="Highlight"></div>
    <p class="dim" id="info"></p><svg id="flame" viewBox="0 0 1200 60" font-family="ui-monospace,Menlo,monospace" font-size="12"></svg></section>
    <section><h2>How it was taken</h2><div id="taken"></div></section>

    """#

  static let script = pageScript + flameScript

  private static let pageScript = #"""
    "use strict";
    const report = JSON.parse(document.getElementById("report").textContent);
    const $ = (id) => document.getElementById(id);
    const text = (index) => index < 0 ? "" : report.strings[index];
    function make(tag, content, style) {
      const made = document.createElement(tag);
      if (content !== undefined) made.textContent = content;
      if (style) made.className = style;
      return made;
    }
    \#(QuantityScript.human)
    const whole = (value) => value.toLocaleString("en");
    const words = { \#(VerdictKind.allCases.map { "\($0.rawValue): \"\($0.words)\"" }.joined(separator: ", ")) };
    function seconds(value) {
      if (value === null || value === undefined) return "";
      if (value < 60) return value.toFixed(1) + " s";
      if (value < 3600) return Math.floor(value / 60) + " m " + Math.floor(value % 60) + " s";
      return Math.floor(value / 3600) + " h " + Math.floor(value / 60 % 60) + " m";
    }
    // Summary
    function card(name, value, detail, style) {
      const box = make("div", undefined, "card" + (style ? " " + style : ""));
      box.append(make("span", name), make("b", value), make("span", detail || ""));
      $("cards").append(box);
    }
    const totals = report.totals, error = totals.standard_error;
    card("outstanding", human(totals.outstanding[0]), whole(totals.outstanding[1]) + " blocks" + (report.is_sampled && error ? ", ± " + human(error) : ""));
    card("allocated", human(totals.allocated[0]), whole(totals.allocated[1]) + " blocks");
    card("freed", human(totals.freed[0]), whole(totals.freed[1]) + " blocks");
    Object.keys(report.kinds).forEach((kind) => {
      const tally = report.kinds[kind], isLost = kind === "definitely_lost" || kind === "indirectly_lost";
      card(words[kind], human(tally[0]), whole(tally[1]) + " blocks", isLost && tally[1] ? "bad" : kind === "definitely_lost" ? "good" : "");
    });
    const lost = report.loss.filter((counter) => counter.value > 0);
    card("lost while tracing", lost.length ? whole(lost.reduce((sum, counter) => sum + counter.value, 0)) : "nothing", lost.length ? "see below" : "every event was counted", lost.length ? "bad" : "good");
    // Course
    if (report.moments.length > 1) {
      const moments = report.moments, last = moments[moments.length - 1].t || 1;
      const most = Math.max(1, ...moments.map((moment) => Math.max(moment.bytes, moment.rss || 0)));
      const space = "http://www.w3.org/2000/svg";
      const curve = (value, style) => {
        const points = moments.filter((moment) => value(moment) !== null).map((moment) => (moment.t / last * 1000).toFixed(1) + " " + (165 - value(moment) / most * 160).toFixed(1));
        if (points.length < 2) return;
        const path = document.createElementNS(space, "path");
        path.setAttribute("d", "M" + points.join("L")); if (style) path.setAttribute("class", style);
        $("course").append(path);
      };
      curve((moment) => moment.bytes); curve((moment) => moment.rss, "rss");
      $("coursetext").textContent = "0 to " + seconds(last) + ", up to " + human(most) + "; solid: outstanding" + (moments.some((moment) => moment.rss !== null) ? ", dashed: resident memory" : "");
    } else { $("coursebox").hidden = true; }
    // Table
    const sites = report.sites.map((site, index) => {
      const names = site.s.map((frame) => text(report.frames[frame][6]));
      const places = site.s.map((frame) => text(report.frames[frame][1]) + " " + text(report.frames[frame][2]));
      return Object.assign(site, { index, title: names[0] || site.by, haystack: (names.join("\n") + "\n" + places.join("\n") + "\n" + site.by + "\n" + (site.cache || "")).toLowerCase() });
    });
    const sum = (site, kind) => site.v && site.v[kind] ? site.v[kind][0] : 0;
    const hasKinds = Object.keys(report.kinds).length > 0;
    const columns = [
      ["bytes", (site) => site.o[0], (site) => human(site.o[0])],
      ["blocks", (site) => site.o[1], (site) => whole(site.o[1])],
      ["lost", (site) => sum(site, "definitely_lost") + sum(site, "indirectly_lost"), (site) => site.v ? human(sum(site, "definitely_lost") + sum(site, "indirectly_lost")) : "", hasKinds],
      ["growth", (site) => site.g ? site.g.slope : -Infinity, (site) => site.g ? site.g.word + (site.g.word === "growing" ? " " + human(site.g.slope * 3600) + "/h" : "") : "", sites.some((site) => site.g)],
      ["oldest", (site) => site.age === null ? -1 : site.age, (site) => seconds(site.age), true, "opt"],
      ["allocated", (site) => site.a[0], (site) => human(site.a[0]), true, "opt"],
      ["allocated by", (site) => site.title, (site) => site.title, true, "name"],
    ].filter((column) => column[3] === undefined || column[3]);
    let order = 0, descending = true, limit = 200;
    columns.forEach((column, index) => {
      const head = make("th", column[0], column[4] || ""); head.tabIndex = 0; head.dataset.column = column[0];
      const sort = () => { descending = order === index ? !descending : true; order = index; limit = 200; table(); };
      head.addEventListener("click", sort); head.addEventListener("keydown", (event) => { if (event.key === "Enter") sort(); });
      $("heads").append(head);
    });
    Object.keys(words).forEach((kind) => {
      if (!sites.some((site) => site.v && site.v[kind])) return;
      const option = make("option", words[kind]); option.value = kind; $("kind").append(option);
    });
    function table() {
      const query = $("filter").value.toLowerCase(), kind = $("kind").value, value = columns[order][1];
      const shown = sites.filter((site) => (!query || site.haystack.includes(query)) && (!kind || (site.v && site.v[kind])));
      shown.sort((a, b) => { const x = value(a), y = value(b); return (x < y ? -1 : x > y ? 1 : a.index - b.index) * (descending ? -1 : 1); });
      [...$("heads").children].forEach((head, index) => head.classList.toggle("on", index === order));
      const rows = $("rows"); rows.textContent = "";
      shown.slice(0, limit).forEach((site) => {
        const row = make("tr", undefined, "site"); row.tabIndex = 0;
        columns.forEach((column) => row.append(make("td", column[2](site), column[4] || "")));
        row.addEventListener("click", () => toggle(row, site));
        row.addEventListener("keydown", (event) => { if (event.key === "Enter") toggle(row, site); });
        rows.append(row);
      });
      const bytes = shown.reduce((total, site) => total + site.o[0], 0);
      $("shown").textContent = whole(shown.length) + " of " + whole(sites.length) + " stacks, " + human(bytes);
      $("more").hidden = shown.length <= limit;
    }
    const ends = { truncated: "… cut at the depth limit", broken: "… the callers above could not be found", frame_pointers_only: "… followed by frame pointers only", caller_only: "only the caller was recorded" };
    function toggle(row, site) {
      const next = row.nextSibling;
      if (next && next.className === "detail") { next.remove(); return; }
      const detail = make("tr", undefined, "detail"), cell = make("td", undefined, "name");
      cell.colSpan = columns.length;
      const facts = [site.by, site.class, "process " + site.p];
      if (site.cache) facts.push("cache " + site.cache);
      Object.keys(site.v || {}).forEach((kind) => facts.push(words[kind] + " " + human(site.v[kind][0]) + " in " + whole(site.v[kind][1])));
      if (site.g) facts.push(site.g.word + ": " + human(site.g.slope * 3600) + "/h (" + human(site.g.low * 3600) + " to " + human(site.g.high * 3600) + "), " + site.g.windows + " windows, " + site.g.generations + " generations alive");
      cell.append(make("div", facts.join(" · "), "dim"));
      const stack = make("div", undefined, "stack");
      site.s.forEach((index) => {
        const frame = report.frames[index], line = make("div", text(frame[0]) + (frame[4] ? " (inlined)" : ""));
        let place = text(frame[1]) ? " [" + text(frame[1]).split("/").pop() + "]" : "";
        if (text(frame[2])) place += " at " + text(frame[2]) + (frame[3] ? ":" + frame[3] : "");
        if (text(frame[5])) place += " (" + text(frame[5]) + ")";
        line.append(make("span", place, "dim")); stack.append(line);
      });
      if (ends[site.end]) stack.append(make("div", ends[site.end], "dim"));
      cell.append(stack); detail.append(cell); row.after(detail);
    }
    let pending = 0;
    $("filter").addEventListener("input", () => { clearTimeout(pending); pending = setTimeout(() => { limit = 200; table(); }, 60); });
    $("kind").addEventListener("change", () => { limit = 200; table(); });
    $("more").addEventListener("click", () => { limit += 500; table(); });
    table();
    // How it was taken
    const taken = $("taken");
    report.notes.forEach((note) => taken.append(make("p", note)));
    report.checks.forEach((check) => taken.append(make("p", "Leak check of process " + check.pid + ": " + check.method + ", stopped for " + (check.paused * 1000).toFixed(0) + " ms, " + human(check.scanned) + " searched in " + (check.took * 1000).toFixed(0) + " ms")));
    if (lost.length) lost.forEach((counter) => taken.append(make("p", "Lost: " + whole(counter.value) + " " + counter.description)));
    else taken.append(make("p", "Nothing was lost: every loss counter is 0."));
    if (report.probes.length) {
      const box = make("div", undefined, "wide"), list = make("table"), head = make("tr");
      ["hits", "kind"].forEach((name) => head.append(make("th", name))); head.append(make("th", "probe", "name")); list.append(head);
      report.probes.forEach((probe) => {
        const row = make("tr"); row.append(make("td", whole(probe.hits)), make("td", probe.kind + (probe.emulated ? "" : ", single-stepped")), make("td", probe.function + " [" + probe.object + "]", "name")); list.append(row);
      });
      box.append(list); taken.append(box);
    }

    """#

  private static let flameScript = #"""
    (function () {
      const space = "http://www.w3.org/2000/svg", width = 1200, row = 17, svg = $("flame");
      const measures = [["bytes", (site) => site.o[0]], ["blocks", (site) => site.o[1]]];
      Object.keys(words).forEach((kind) => { if (sites.some((site) => site.v && site.v[kind])) measures.push([words[kind], (site) => site.v && site.v[kind] ? site.v[kind][0] : 0]); });
      measures.forEach((measure, index) => { const option = make("option", measure[0]); option.value = index; $("measure").append(option); });
      const state = { up: false, measure: 0, zoom: null, query: "" };
      let root, deepest;
      function build() {
        root = { name: "all", value: 0, children: new Map(), parent: null };
        const value = measures[state.measure][1];
        sites.forEach((site) => {
          const amount = value(site); if (!amount) return;
          const path = site.s.map((frame) => report.frames[frame][6]); if (!state.up) path.reverse();
          let node = root; node.value += amount;
          path.forEach((id) => {
            let child = node.children.get(id);
            if (!child) { child = { name: text(id), value: 0, children: new Map(), parent: node }; node.children.set(id, child); }
            node = child; node.value += amount;
          });
        });
      }
      function colour(name) {
        let hash = 2166136261; for (const unit of new TextEncoder().encode(name)) hash = Math.imul(hash ^ unit, 16777619) >>> 0;
        return "hsl(" + (8 + hash % 45) + "," + (62 + Math.floor(hash / 64) % 25) + "%," + (60 + Math.floor(hash / 4096) % 14) + "%)";
      }
      const show = (value) => measures[state.measure][0] === "blocks" ? whole(value) + " blocks" : human(value);
      const describe = (node) => node.name + ": " + show(node.value) + ", " + (root.value ? 100 * node.value / root.value : 0).toFixed(2) + " %";
      function box(into, node, start, share, depth, faded) {
        deepest = Math.max(deepest, depth + 1);
        const hit = state.query && node.name.toLowerCase().includes(state.query.toLowerCase());
        const group = document.createElementNS(space, "g"); group.setAttribute("class", hit ? "f hit" : "f"); if (faded) group.setAttribute("opacity", "0.5");
        const title = document.createElementNS(space, "title"); title.textContent = describe(node);
        const rect = document.createElementNS(space, "rect");
        rect.setAttribute("x", start * width); rect.setAttribute("y", depth * row); rect.setAttribute("width", Math.max(0.5, share * width - 0.5)); rect.setAttribute("height", 16);
        if (!hit) rect.setAttribute("fill", colour(node.name));
        group.append(title, rect);
        const room = Math.floor(share * width / 7.3);
        if (room >= 3) {
          const label = document.createElementNS(space, "text"); label.setAttribute("x", start * width + 3); label.setAttribute("y", depth * row + 12);
          label.textContent = node.name.length <= room ? node.name : node.name.slice(0, room - 1) + "…"; group.append(label);
        }
        group.addEventListener("click", () => { state.zoom = node.parent ? node : null; draw(); });
        group.addEventListener("mouseenter", () => { $("info").textContent = describe(node); });
        into.append(group);
      }
      function place(into, node, start, share, depth) {
        box(into, node, start, share, depth, false);
        [...node.children.values()].sort((a, b) => b.value - a.value).forEach((child) => {
          const part = node.value ? share * child.value / node.value : 0;
          if (part >= 0.0007) place(into, child, start, part, depth + 1);
          start += part;
        });
      }
      function draw() {
        const into = document.createDocumentFragment(), base = state.zoom || root, path = [];
        for (let node = base.parent; node; node = node.parent) path.unshift(node);
        deepest = 0; path.forEach((node, depth) => box(into, node, 0, 1, depth, true)); place(into, base, 0, 1, path.length);
        svg.textContent = ""; svg.append(into); svg.setAttribute("viewBox", "0 0 " + width + " " + (deepest * row + 4));
        $("info").textContent = describe(base);
      }
      const rebuild = () => { state.zoom = null; build(); draw(); };
      $("measure").addEventListener("change", () => { state.measure = Number($("measure").value); rebuild(); });
      $("direction").addEventListener("click", () => { state.up = !state.up; $("direction").textContent = state.up ? "Icicle" : "Bottom-up"; rebuild(); });
      $("reset").addEventListener("click", () => { state.query = ""; $("search").value = ""; rebuild(); });
      $("search").addEventListener("input", () => { state.query = $("search").value; draw(); });
      rebuild();
      document.body.dataset.ready = "yes";
    })();

    """#
}
