/// The script of a flame graph, in a picture of its own or in a page.
enum FlameGraphScript {
  /// Reads the stacks from the element `stacks`, draws into `frames` and obeys the buttons. Names are only ever set as
  /// text, never as markup.
  static let source = #"""
    (function () {
      "use strict";
      var space = "http://www.w3.org/2000/svg", width = 1200, row = 17, top = 66;
      var svg = document.getElementById("flame"), group = document.getElementById("frames");
      var data = JSON.parse(document.getElementById("stacks").textContent);
      var state = { up: false, blocks: false, zoom: null, query: "" };
      function build() {
        var root = { name: "all", value: 0, bytes: 0, count: 0, children: new Map(), parent: null };
        data.stacks.forEach(function (stack) {
          var value = state.blocks ? stack[1] : stack[0], path = stack.slice(2), node = root;
          if (state.up) path.reverse();
          [null].concat(path).forEach(function (id) {
            if (id !== null) {
              var child = node.children.get(id);
              if (!child) {
                child = { name: data.names[id], value: 0, bytes: 0, count: 0, children: new Map(), parent: node };
                node.children.set(id, child);
              }
              node = child;
            }
            node.value += value; node.bytes += stack[0]; node.count += stack[1];
          });
        });
        return root;
      }
      function colour(name) {
        var hash = 2166136261, bytes = new TextEncoder().encode(name);
        for (var i = 0; i < bytes.length; i++) hash = Math.imul(hash ^ bytes[i], 16777619) >>> 0;
        return "hsl(" + (8 + hash % 45) + "," + (62 + Math.floor(hash / 64) % 25) + "%," + (60 + Math.floor(hash / 4096) % 14) + "%)";
      }
      \#(QuantityScript.human)
      function element(name, attributes) {
        var made = document.createElementNS(space, name);
        Object.keys(attributes).forEach(function (key) { made.setAttribute(key, attributes[key]); });
        return made;
      }
      function describe(node) {
        var share = root.value ? 100 * node.value / root.value : 0;
        return node.name + ": " + human(node.bytes, "bytes") + " in " + node.count + " blocks, " + share.toFixed(2) + " %";
      }
      function info(text) { document.getElementById("info").textContent = text; }
      var root, deepest, found;
      function draw() {
        while (group.firstChild) group.removeChild(group.firstChild);
        deepest = 0; found = 0;
        var base = state.zoom || root, path = [];
        for (var node = base.parent; node; node = node.parent) path.unshift(node);
        path.forEach(function (node, depth) { box(node, 0, 1, depth, true); });
        place(base, 0, 1, path.length);
        svg.setAttribute("height", top + deepest * row + 30);
        svg.setAttribute("viewBox", "0 0 " + width + " " + (top + deepest * row + 30));
        info(state.query ? "matched “" + state.query + "”: " + (root.value ? 100 * found / root.value : 0).toFixed(1) + " %, " + (state.blocks ? found + " blocks" : human(found, "bytes")) : describe(base));
      }
      function place(node, start, share, depth, isFound) {
        var hit = box(node, start, share, depth, false);
        if (hit && !isFound) found += node.value;
        var children = Array.from(node.children.values()).sort(function (a, b) { return b.value - a.value; });
        children.forEach(function (child) {
          var part = node.value ? share * child.value / node.value : 0;
          if (part >= 0.0005) place(child, start, part, depth + 1, isFound || hit);
          start += part;
        });
      }
      function box(node, start, share, depth, faded) {
        deepest = Math.max(deepest, depth + 1);
        var hit = state.query !== "" && node.name.toLowerCase().indexOf(state.query.toLowerCase()) >= 0;
        var g = element("g", { "class": hit ? "f hit" : "f", opacity: faded ? 0.5 : 1 });
        var title = element("title", {}); title.textContent = describe(node); g.appendChild(title);
        var rect = element("rect", { x: start * width, y: top + depth * row, width: Math.max(0.5, share * width - 0.5), height: 16 });
        if (!hit) rect.setAttribute("fill", colour(node.name));
        g.appendChild(rect);
        var room = Math.floor(share * width / 7.3);
        if (room >= 3) {
          var text = element("text", { x: start * width + 3, y: top + depth * row + 12 });
          text.textContent = node.name.length <= room ? node.name : node.name.slice(0, room - 1) + "…";
          g.appendChild(text);
        }
        g.addEventListener("click", function () { state.zoom = node.parent ? node : null; draw(); });
        g.addEventListener("mouseenter", function () { info(describe(node)); });
        group.appendChild(g);
        return hit;
      }
      function rebuild() { state.zoom = null; root = build(); draw(); }
      function button(id, action) {
        var found = document.getElementById(id);
        if (found) found.addEventListener("click", function () { action(found); });
      }
      button("Reset", function () { state.query = ""; rebuild(); });
      button("Bottom-up", function (b) { state.up = !state.up; b.textContent = state.up ? "Icicle" : "Bottom-up"; rebuild(); });
      button("Blocks", function (b) { state.blocks = !state.blocks; b.textContent = state.blocks ? "Bytes" : "Blocks"; rebuild(); });
      button("Search", function () {
        var text = window.prompt("Show frames whose name contains:", state.query);
        if (text !== null) { state.query = text; draw(); }
      });
      document.addEventListener("keydown", function (event) { if (event.key === "Escape") { state.query = ""; rebuild(); } });
      window.leaktraceSearch = function (text) { state.query = text; draw(); };
      rebuild();
    })();

    """#
}
