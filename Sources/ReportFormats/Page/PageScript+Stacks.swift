/// The table of call stacks.
extension PageScript {
  static let stacks = #"""
    // The table of stacks
    const growthText = (site) => site.g ? site.g.word + (site.g.word === "growing" ? " " + rate(site.g.slope) : "") : "";
    const heldText = (site) => (site.h || []).map((holder) => holder[0]).join(", ");
    const columns = [
      ["bytes", (site) => tally(site)[0], (site) => human(tally(site)[0])],
      ["blocks", (site) => tally(site)[1], (site) => whole(tally(site)[1])],
      ["lost", lostBytes, (site) => site.v ? human(lostBytes(site)) : "", hasKinds],
      ["growth", (site) => site.g ? (site.g.word === "growing" ? 1e300 : 0) + site.g.slope : -Infinity, growthText, sites.some((site) => site.g)],
      ["course", (site) => site.c ? site.c[1][site.c[1].length - 1] - site.c[1][0] : -Infinity, undefined, sites.some((site) => site.c)],
      ["held by", heldText, heldText, sites.some((site) => site.h && site.h.length)],
      ["oldest", (site) => site.age === null ? -1 : site.age, (site) => seconds(site.age), sites.some((site) => site.age !== null)],
      ["allocated", (site) => site.a[0], (site) => human(site.a[0])],
      ["process", (site) => site.p, (site) => processName(site.p), new Set(sites.map((site) => site.p)).size > 1, "text"],
      ["where", (site) => site.title.toLowerCase(), undefined, true, "name"],
    ].filter((column) => column[3] === undefined || column[3]);
    const meaningOf = { bytes: "outstanding", blocks: "block", lost: "lost", growth: "growing", course: "course", "held by": "held by", oldest: "oldest", allocated: "allocated", process: "process", where: "first frame of yours" };
    let limit = 200;
    function sparkline(site) {
      const points = site.c[1], highest = most(points, (value) => value), count = points.length;
      const svg = draw("svg", { viewBox: "0 0 80 20", class: "spark", role: "img", "aria-label": "from " + human(points[0]) + " to " + human(points[count - 1]) });
      svg.append(draw("path", { d: "M" + points.map((value, place) => ((count > 1 ? place / (count - 1) : 0) * 78 + 1).toFixed(1) + " " + (18.5 - value / highest * 17).toFixed(1)).join("L") }));
      return svg;
    }
    function sortBy(name) {
      const former = state.sort.replace("-", "");
      state.sort = former === name && state.sort[0] !== "-" ? "-" + name : name;
      limit = 200; update();
    }
    function showHeads() {
      columns.forEach((column) => {
        const head = make("th", undefined, column[4] || ""), button = make("button", column[0]);
        head.scope = "col"; head.dataset.column = column[0]; button.type = "button";
        button.addEventListener("click", () => sortBy(column[0]));
        head.append(explained(button, meaningOf[column[0]])); $("heads").append(head);
        const option = make("option", "by " + column[0]); option.value = column[0]; $("sort").append(option);
      });
    }
    function where(cell, site) {
      const title = make("b", site.title); if (site.own) title.title = site.own.full; cell.append(title);
      if (site.own && site.own.place) cell.append(" ", make("span", site.own.place, "dim"));
      const place = site.own ? site.stack.indexOf(site.own) : 0;
      cell.append(" ", make("span", place > 0 ? "through " + bare(site.stack[place - 1].name) + ", " + site.by : site.by, "dim through"));
    }
    function showStacks() {
      const column = columns.find((column) => column[0] === state.sort.replace("-", "")) || columns[0], value = column[1];
      const descending = (state.sort[0] !== "-") === (column[4] === undefined);
      const shown = chosen().filter((site) => hasName(site, wanted()));
      shown.sort((a, b) => { const x = value(a), y = value(b); return (x < y ? -1 : x > y ? 1 : 0) * (descending ? -1 : 1) || a.index - b.index; });
      [...$("heads").children].forEach((head) => {
        const isOn = head.dataset.column === column[0];
        head.classList.toggle("on", isOn);
        if (isOn) head.setAttribute("aria-sort", descending ? "descending" : "ascending"); else head.removeAttribute("aria-sort");
      });
      $("sort").value = column[0];
      const rows = document.createDocumentFragment();
      const opened = shown.findIndex((site) => String(site.index) === state.open);
      shown.slice(0, Math.max(limit, opened + 1)).forEach((site) => {
        const row = make("tr", undefined, "site");
        row.dataset.site = site.index;
        columns.forEach((column) => {
          const cell = make("td", column[2] ? column[2](site) : undefined, column[4] || "");
          cell.dataset.label = column[0];
          if (column[0] === "where") where(cell, site);
          if (column[0] === "course" && site.c) cell.append(sparkline(site));
          row.append(cell);
        });
        row.setAttribute("aria-expanded", "false");
        pressable(row, () => toggle(row, site));
        rows.append(row);
        if (String(site.index) === state.open) { rows.append(detail(site)); row.setAttribute("aria-expanded", "true"); }
      });
      $("rows").textContent = ""; $("rows").append(rows);
      $("more").hidden = shown.length <= limit;
      $("none").hidden = shown.length > 0;
      $("none").textContent = sites.length ? "No stack is like that." : "Nothing is outstanding that this report shows.";
    }
    const ends = { truncated: "… cut at the depth limit", broken: "… the callers above could not be found", frame_pointers_only: "… followed by frame pointers only", caller_only: "only the caller was recorded" };
    function frameLine(frame) {
      const line = make("div", frame.full + (frame.isInlined ? " (inlined)" : ""), frame.isYours ? "" : "library");
      let place = frame.object ? " [" + frame.object + "]" : "";
      if (frame.file) place += " at " + frame.file + (frame.line ? ":" + frame.line : "");
      if (frame.reason) place += " (" + frame.reason + ")";
      line.append(make("span", place, "dim"));
      return line;
    }
    function facts(site) {
      const list = make("div", undefined, "facts");
      const add = (content, word) => list.append(word ? term(word, content) : make("span", content));
      add(site.by + ", " + site.class);
      add(wholeProcess(site.p));
      if (site.thread) add("thread " + site.thread);
      if (site.cache) add("cache " + site.cache);
      Object.keys(site.v || {}).forEach((kind) => add(words[kind] + " " + human(site.v[kind][0]) + " in " + counted(site.v[kind][1], "block"), words[kind]));
      if (site.keeps) add("with them " + human(site.keeps[0]) + " in " + counted(site.keeps[1], "block") + " that only they lead to", "keeps");
      (site.h || []).forEach((holder) => add((holder[3] ? share(holder[3], 1) + " " : "") + "held by " + holder[0] + (holder[1] ? ": " + human(holder[1]) + " in " + counted(holder[2], "block") : ""), "held by"));
      (site.freed || []).forEach((place) => add(share(place[0], 1) + " freed in " + place[1], "freed in"));
      if (site.error) add("± " + human(site.error), "sampling error");
      if (site.g) {
        add(site.g.word, site.g.word);
        if (site.g.slope !== null) add(rate(site.g.slope) + " = " + rate(site.g.slope, "h") + " (" + rate(site.g.low) + " to " + rate(site.g.high) + ")", "interval");
        add(counted(site.g.windows, "window") + ", survivors of " + whole(site.g.generations), "survivor");
      }
      return list;
    }
    function detail(site) {
      const row = make("tr", undefined, "detail"), cell = make("td", undefined, "name");
      cell.colSpan = columns.length;
      const stack = make("div", undefined, "stack"), hides = hidesLibraries() && site.stack.some((frame) => frame.isYours);
      let folded = [];
      const unfold = () => {
        if (!folded.length) return;
        const hidden = folded, button = make("button", "… " + counted(hidden.length, "frame") + " of libraries and allocators: " + bare(hidden[hidden.length - 1].name), "fold");
        button.type = "button"; folded = [];
        button.addEventListener("click", (event) => { event.stopPropagation(); button.replaceWith(...hidden.map(frameLine)); });
        stack.append(button);
      };
      site.stack.forEach((frame) => {
        if (hides && !frame.isYours) { folded.push(frame); return; }
        unfold(); stack.append(frameLine(frame));
      });
      unfold();
      if (!site.stack.length) stack.append(make("div", "no stack was recorded", "dim"));
      if (ends[site.end]) stack.append(make("div", ends[site.end], "dim"));
      cell.append(facts(site), stack); row.append(cell);
      return row;
    }
    function toggle(row, site) {
      const next = row.nextSibling, isOpen = next && next.className === "detail";
      if (isOpen) next.remove(); else row.after(detail(site));
      row.setAttribute("aria-expanded", String(!isOpen));
      state.open = isOpen ? (state.open === String(site.index) ? "" : state.open) : String(site.index);
      writeAddress();
    }

    """#
}
