/// The flame graph.
extension PageScript {
  static let flame = #"""
    // The flame graph. A node's place is its way from the root: that is what the address keeps, and the keyboard moves along.
    const flame = { root: null, asked: null, focus: "", boxes: new Map() };
    const pathOf = (node) => { const ids = []; for (; node.parent; node = node.parent) ids.unshift(node.id); return ids.join("."); };
    function grow(list) {
      const root = { id: "", name: "all", value: 0, children: new Map(), parent: null, places: new Map(), haystack: "", isHit: false }, many = new Set(list.map((site) => site.p)).size > 1;
      const step = (node, id, frame, amount) => {
        let child = node.children.get(id);
        if (!child) { child = { id, name: frame.name, value: 0, children: new Map(), parent: node, places: new Map(), haystack: "" }; node.children.set(id, child); }
        child.value += amount;
        const place = frame.place || frame.object;
        if (place) child.places.set(place, (child.places.get(place) || 0) + amount);
        if (!child.haystack) child.haystack = frame.haystack;
        return child;
      };
      list.forEach((site) => {
        const amount = measured(site); if (!amount) return;
        let way = path(site).map((frame) => [frame.nameID, frame]);
        if (site.cache) way.unshift(["c" + site.cache.replaceAll(".", "_"), { name: "[" + site.cache + "]", haystack: site.cache.toLowerCase() }]);
        if (!state.up) way = way.reverse();
        if (many) way.unshift(["p" + site.p, { name: processName(site.p), haystack: processName(site.p).toLowerCase() }]);
        let node = root; node.value += amount;
        way.forEach((entry) => { node = step(node, entry[0], entry[1], amount); });
      });
      return root;
    }
    function nodeAt(way) {
      let node = flame.root;
      for (const id of way ? way.split(".") : []) {
        const next = node.children.get(id) || node.children.get(Number(id));
        if (!next) return flame.root;
        node = next;
      }
      return node;
    }
    function colour(name) {
      let hash = 2166136261; for (const unit of new TextEncoder().encode(name)) hash = Math.imul(hash ^ unit, 16777619) >>> 0;
      return "hsl(" + (8 + hash % 45) + "," + (62 + Math.floor(hash / 64) % 25) + "%," + (60 + Math.floor(hash / 4096) % 14) + "%)";
    }
    // A name in so many characters: whole, or without parameters, or its last part, or cut.
    function shortened(name, room) {
      if (name.length <= room) return name;
      const short = bare(name);
      if (short.length <= room) return short;
      const last = short.split("::").pop();
      if (last.length <= room) return last;
      return room >= 3 ? last.slice(0, room - 1) + "…" : "";
    }
    const children = (node) => [...node.children.values()].sort((a, b) => b.value - a.value || (a.name < b.name ? -1 : 1));
    function describe(node) {
      const places = [...node.places].sort((a, b) => b[1] - a[1]).map((entry) => entry[0]);
      return node.name + (places.length ? " (" + places.slice(0, 3).join(", ") + (places.length > 3 ? " and " + (places.length - 3) + " more" : "") + ")" : "")
        + ": " + showMeasured(node.value) + ", " + share(node.value, flame.root.value);
    }
    // What stacks through a frame that matches hold: the outermost match of each way counts.
    function matched(node, query) {
      if (node.parent && query && node.haystack.includes(query)) return node.value;
      let sum = 0;
      node.children.forEach((child) => { sum += matched(child, query); });
      return sum;
    }
    function showFlame() {
      const asked = [state.process, state.kind, state.finding, state.measure, state.up, state.libraries].join("\n");
      if (flame.asked !== asked) { flame.asked = asked; flame.root = grow(chosen()); }
      const base = nodeAt(state.zoom), query = wanted(), svg = $("flame");
      if (base === flame.root) state.zoom = "";
      const width = Math.max(280, svg.parentNode.clientWidth), isTouch = width < 700 || matchMedia("(pointer: coarse)").matches;
      const row = isTouch ? 34 : 20, size = isTouch ? 13 : 12, letter = size * 0.605;
      const hadFocus = svg.contains(document.activeElement);
      const above = []; for (let node = base.parent; node; node = node.parent) above.unshift(node);
      const drawn = document.createDocumentFragment();
      let deepest = 0;
      flame.boxes = new Map();
      const box = (node, start, part, depth, isAbove) => {
        deepest = Math.max(deepest, depth + 1);
        const isHit = query && node.parent && node.haystack.includes(query), way = pathOf(node);
        const group = draw("g", { class: "f" + (isHit ? " hit" : ""), role: "treeitem", tabindex: -1, "aria-level": depth + 1, "aria-label": describe(node) });
        if (isAbove) group.setAttribute("opacity", "0.55");
        const rect = draw("rect", { x: (start * width).toFixed(2), y: depth * row + 1, width: Math.max(0.5, part * width - 1).toFixed(2), height: row - 2, rx: 2 });
        if (!isHit) rect.setAttribute("fill", colour(node.name));
        group.append(rect);
        const label = shortened(node.name, Math.floor((part * width - 8) / letter));
        if (label) { const made = draw("text", { x: (start * width + 4).toFixed(2), y: depth * row + row / 2 + size * 0.36, "font-size": size }); made.textContent = label; group.append(made); }
        group.addEventListener("click", () => { flame.focus = way; zoom(node); });
        group.addEventListener("mousemove", (event) => { $("tip").textContent = describe(node); showTip(event.clientX, event.clientY, false); });
        group.addEventListener("mouseleave", hideTip);
        group.addEventListener("focus", () => { flame.focus = way; $("info").textContent = describe(node); });
        flame.boxes.set(way, { group, node });
        drawn.append(group);
      };
      const place = (node, start, part, depth) => {
        box(node, start, part, depth, false);
        children(node).forEach((child) => {
          const width = node.value ? part * child.value / node.value : 0;
          if (width >= 0.0006) place(child, start, width, depth + 1);
          start += width;
        });
      };
      above.forEach((node, depth) => box(node, 0, 1, depth, true));
      place(base, 0, 1, above.length);
      svg.textContent = ""; svg.append(drawn);
      svg.setAttribute("viewBox", "0 0 " + width + " " + (deepest * row + 4)); svg.setAttribute("height", deepest * row + 4);
      const found = query ? matched(base, query) : 0;
      $("matched").textContent = query ? "matched “" + state.query.trim() + "”: " + share(found, base.value) + ", " + showMeasured(found) + " of " + showMeasured(base.value) : "";
      $("info").textContent = describe(base);
      $("flameempty").hidden = flame.root.value > 0;
      if (!flame.boxes.has(flame.focus)) flame.focus = state.zoom;
      const focused = flame.boxes.get(flame.focus);
      if (focused) { focused.group.setAttribute("tabindex", 0); if (hadFocus) focused.group.focus({ preventScroll: true }); }
    }
    function zoom(node) { state.zoom = pathOf(node); writeAddress(); showFlame(); }
    function flameKey(event) {
      const entry = flame.boxes.get(flame.focus);
      if (!entry) return;
      const node = entry.node, siblings = node.parent ? children(node.parent) : [node], place = siblings.indexOf(node);
      let next = null;
      if (event.key === "ArrowUp") next = node.parent;
      else if (event.key === "ArrowDown") next = children(node)[0];
      else if (event.key === "ArrowRight") next = siblings[place + 1];
      else if (event.key === "ArrowLeft") next = siblings[place - 1];
      else if (event.key === "Home") next = flame.root;
      else if (event.key === "Enter" || event.key === " ") { event.preventDefault(); zoom(node); return; }
      else if (event.key === "Escape") {
        const base = nodeAt(state.zoom);
        if (base.parent) { event.preventDefault(); event.stopPropagation(); flame.focus = pathOf(base); zoom(base.parent); }
        return;
      } else return;
      event.preventDefault();
      const target = next && flame.boxes.get(pathOf(next));
      if (!target) return;
      entry.group.setAttribute("tabindex", -1); target.group.setAttribute("tabindex", 0); target.group.focus();
    }

    """#
}
