/// The call graph, by function, line, file or module.
extension PageScript {
  static let graph = #"""
    // The call graph: what each function, line, file or module allocates itself, and with what it calls.
    const groups = {
      function: ["function", (frame) => frame.name, (frame) => frame.place || frame.object],
      line: ["line", (frame) => frame.place ? frame.file + ":" + frame.line : frame.name, (frame) => frame.place ? frame.name : frame.object],
      file: ["file", (frame) => frame.file || "[" + (frame.object || "unknown") + "]", (frame) => frame.object],
      module: ["module", (frame) => frame.module || "[unknown]", () => ""],
    };
    let graphLimit = 100;
    const shortKey = (key) => state.group === "function" ? bare(key) : (state.group === "line" || state.group === "file" || state.group === "module") && !key.includes(" ") ? key.split("/").slice(-2).join("/") : key;
    function showGraph() {
      const key = groups[state.group][1], more = groups[state.group][2], list = chosen(), query = wanted();
      const whole = total(list, measured), entries = new Map();
      list.forEach((site) => {
        const amount = measured(site); if (!amount) return;
        const seen = new Set();
        path(site).forEach((frame, place) => {
          const name = key(frame);
          let entry = entries.get(name);
          if (!entry) { entry = { name, detail: more(frame), self: 0, total: 0, haystack: frame.haystack }; entries.set(name, entry); }
          if (place === 0) entry.self += amount;
          if (!seen.has(name)) { seen.add(name); entry.total += amount; }
        });
      });
      const order = { total: (a, b) => b.total - a.total || b.self - a.self, self: (a, b) => b.self - a.self || b.total - a.total, name: (a, b) => a.name < b.name ? -1 : a.name > b.name ? 1 : 0 }[state.order];
      const shown = [...entries.values()].filter((entry) => !query || entry.haystack.includes(query) || entry.name.toLowerCase().includes(query)).sort(order);
      const rows = document.createDocumentFragment();
      shown.slice(0, graphLimit).forEach((entry) => {
        const row = make("tr", undefined, "node");
        const cell = (label, content, style) => { const made = make("td", content, style); made.dataset.label = label; row.append(made); return made; };
        cell("total", showMeasured(entry.total)); cell("% total", share(entry.total, whole));
        cell("self", entry.self ? showMeasured(entry.self) : ""); cell("% self", entry.self ? share(entry.self, whole) : "");
        const name = cell(state.group, undefined, "name");
        name.append(make("b", shortKey(entry.name))); if (entry.detail) name.append(" ", make("span", entry.detail, "dim"));
        name.title = entry.name;
        row.setAttribute("aria-expanded", "false");
        pressable(row, () => {
          const next = row.nextSibling;
          if (next && next.className === "detail") { next.remove(); row.setAttribute("aria-expanded", "false"); } else { row.after(neighbours(entry, list, key)); row.setAttribute("aria-expanded", "true"); }
        });
        rows.append(row);
      });
      $("graphrows").textContent = ""; $("graphrows").append(rows);
      $("graphmore").hidden = shown.length <= graphLimit;
      [...$("graphheads").children].forEach((head) => {
        const isOn = head.dataset.order === state.order;
        head.classList.toggle("on", isOn);
        if (isOn) head.setAttribute("aria-sort", state.order === "name" ? "ascending" : "descending"); else head.removeAttribute("aria-sort");
      });
    }
    // Who calls an entry of the call graph, and whom it calls.
    function neighbours(entry, list, key) {
      const callers = new Map(), callees = new Map();
      const add = (map, name, amount, seen) => { if (name === entry.name || seen.has(name)) return; seen.add(name); map.set(name, (map.get(name) || 0) + amount); };
      list.forEach((site) => {
        const amount = measured(site); if (!amount) return;
        const way = path(site).map(key), above = new Set(), below = new Set();
        way.forEach((name, place) => {
          if (name !== entry.name) return;
          if (place + 1 < way.length) add(callers, way[place + 1], amount, above);
          if (place > 0) add(callees, way[place - 1], amount, below);
        });
      });
      const row = make("tr", undefined, "detail"), cell = make("td", undefined, "name");
      cell.colSpan = 5;
      [["called by", callers], ["calls", callees]].forEach((side) => {
        const box = make("div", undefined, "stack");
        box.append(make("div", side[0], "dim"));
        [...side[1]].sort((a, b) => b[1] - a[1]).slice(0, 30).forEach((other) => {
          const button = make("button", undefined, "fold");
          button.type = "button"; button.append(shortKey(other[0]) + " ", make("span", showMeasured(other[1]) + ", " + share(other[1], entry.total), "dim"));
          button.addEventListener("click", (event) => { event.stopPropagation(); const target = [...$("graphrows").querySelectorAll("tr.node")].find((row) => row.lastChild.title === other[0]); if (target) { target.scrollIntoView({ block: "center" }); target.focus(); } });
          box.append(button);
        });
        if (!side[1].size) box.append(make("div", "nobody", "dim"));
        cell.append(box);
      });
      row.append(cell);
      return row;
    }

    """#
}
