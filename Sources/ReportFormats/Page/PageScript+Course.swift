/// The curves over time.
extension PageScript {
  static let course = #"""
    // What was outstanding over time, with what single stacks held below it.
    const palette = ["#c9510c", "#2f6fb0", "#3d8a4e", "#8c5bb5", "#b08a1e", "#2a8c8c"];
    const niceStep = (range, steps) => steps.find((step) => range / step <= 5) || range / 5;
    const byteSteps = [];
    for (let unit = 1; unit < 2 ** 62; unit *= 1024) [1, 2, 5, 10, 20, 50, 100, 200, 500].forEach((step) => byteSteps.push(step * unit));
    const timeSteps = [0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10800, 21600, 43200, 86400, 172800, 604800, 2592000];
    function timeLabel(value, step) {
      if (value === 0) return "0";
      if (step < 1) return value.toFixed(1) + " s";
      if (step < 60 && value < 120) return Math.round(value) + " s";
      if (value < 3600) return Math.floor(value / 60) + " m" + (value % 60 ? " " + Math.round(value % 60) + " s" : "");
      if (value < 172800) return Math.floor(value / 3600) + " h" + (value % 3600 ? " " + Math.round(value % 3600 / 60) + " m" : "");
      return (value / 86400).toFixed(step < 86400 ? 1 : 0) + " d";
    }
    // The value of a course at a time: 0 before it begins and after its process has ended.
    function courseAt(course, time) {
      const x = course[0], y = course[1], count = Math.min(x.length, y.length);
      if (!count || time < x[0] - (count > 1 ? x[1] - x[0] : 1)) return 0;
      if (time <= x[0]) return y[0];
      if (time >= x[count - 1]) return time - x[count - 1] <= 2 * (count > 1 ? x[count - 1] - x[count - 2] : 1) ? y[count - 1] : 0;
      let low = 0, high = count - 1;
      while (high - low > 1) { const middle = (low + high) >> 1; if (x[middle] <= time) low = middle; else high = middle; }
      const width = x[high] - x[low];
      return y[low] + (width > 0 ? (y[high] - y[low]) * (time - x[low]) / width : 0);
    }
    let coursePlace = -1, courseMoment = null;
    function showCourse() {
      // Without a course of everything there are those of single stacks.
      const known = report.moments.length > 1, svg = $("course");
      $("coursebox").hidden = !known && !sites.some((site) => site.c);
      if ($("coursebox").hidden) return;
      svg.textContent = "";
      const width = Math.max(280, svg.parentNode.clientWidth), left = 66, right = 12, span = width - left - right;
      const last = Math.max(known ? report.moments[report.moments.length - 1].t : report.duration, 0.001);
      const x = (time) => left + time / last * span;
      const isWhole = known && !state.process && !state.kind && !state.finding && !wanted();
      const stacks = chosen().filter((site) => site.c && site.c[1].some((value) => value > 0) && hasName(site, wanted())).sort((a, b) => most(b.c[1], (value) => value) - most(a.c[1], (value) => value)).slice(0, palette.length);
      const times = [...new Set(stacks.flatMap((site) => site.c[0]).concat(known ? report.moments[0].t : 0, last))].filter((time) => time >= 0 && time <= last).sort((a, b) => a - b);
      const moments = known ? report.moments : times.map((t) => ({ t, bytes: null, count: null, rss: null }));
      const hasResident = moments.some((moment) => moment.rss !== null);
      const stacked = times.map((time) => { let sum = 0; return stacks.map((site) => (sum += courseAt(site.c, time))); });
      const highest = Math.max(known && (isWhole || !stacks.length) ? most(moments, (moment) => moment.bytes) : 1, most(stacked, (row) => row.length ? row[row.length - 1] : 0));
      const panel = (top, height, highest, name) => {
        const step = niceStep(highest, byteSteps), y = (value) => top + height - value / highest * height;
        for (let tick = 0; tick <= highest; tick += step) {
          svg.append(draw("line", { x1: left, x2: width - right, y1: y(tick), y2: y(tick), class: "grid" }));
          const label = draw("text", { x: left - 6, y: y(tick) + 4, "text-anchor": "end", class: "tick" });
          label.textContent = tick ? human(tick).replace(".0 ", " ") : "0"; svg.append(label);
        }
        const title = draw("text", { x: left, y: top - 6, class: "axis" }); title.textContent = name; svg.append(title);
        return y;
      };
      const height = width < 600 ? 150 : 190, y = panel(24, height, highest, "outstanding bytes");
      const line = (points, attributes) => { if (points.length > 1) svg.append(draw("path", Object.assign({ d: "M" + points.map((point) => point[0].toFixed(1) + " " + point[1].toFixed(1)).join("L") }, attributes))); };
      stacks.forEach((site, index) => {
        const upper = times.map((time, place) => [x(time), y(stacked[place][index])]);
        const lower = times.map((time, place) => [x(time), y(index ? stacked[place][index - 1] : 0)]).reverse();
        line(upper.concat(lower), { fill: palette[index], "fill-opacity": 0.55, stroke: "none", class: "area" });
      });
      if (known && (isWhole || !stacks.length)) line(moments.map((moment) => [x(moment.t), y(moment.bytes)]), { class: "whole" });
      let bottom = 24 + height, resident = null;
      if (hasResident) {
        const read = moments.filter((moment) => moment.rss !== null), top = bottom + 34, low = 70;
        resident = panel(top, low, most(read, (moment) => moment.rss), "resident memory (RSS) of the traced processes");
        line(read.map((moment) => [x(moment.t), resident(moment.rss)]), { class: "rss" });
        bottom = top + low;
      }
      const step = niceStep(last, timeSteps);
      for (let tick = 0; tick <= last; tick += step) {
        const label = draw("text", { x: x(tick), y: bottom + 16, "text-anchor": tick ? "middle" : "start", class: "tick" });
        if (x(tick) > width - right - 22) label.setAttribute("text-anchor", "end");
        label.textContent = timeLabel(tick, step); svg.append(label);
        svg.append(draw("line", { x1: x(tick), x2: x(tick), y1: bottom, y2: bottom + 4, class: "grid" }));
      }
      const cursor = draw("line", { y1: 24, y2: bottom, class: "cursor", visibility: "hidden" }); svg.append(cursor);
      svg.setAttribute("viewBox", "0 0 " + width + " " + (bottom + 24)); svg.setAttribute("height", bottom + 24);
      const end = moments[moments.length - 1], top = moments.reduce((best, moment) => moment.bytes > best.bytes ? moment : best);
      const inPage = total(sites, (site) => site.o[0]);
      $("coursetext").textContent = ((known ? "Highest " + human(top.bytes) + " at " + seconds(top.t) + ", at the end " + human(end.bytes) + (inPage + 1 < end.bytes && sites.length ? ", of which the stacks of this page hold " + human(inPage) : "") + "." : "")
        + (stacks.length ? " Areas: the least that each stack held in each part of the run" + (isWhole ? "; above them: all other stacks, and what was freed again at once." : ".") : "")).trim();
      svg.setAttribute("aria-label", "Outstanding memory over time. " + $("coursetext").textContent);
      $("legend").textContent = "";
      stacks.forEach((site, index) => {
        const entry = make("button", undefined, "legend"), mark = make("i");
        entry.type = "button"; mark.style.background = palette[index];
        entry.append(mark, site.title + (site.own && site.own.place ? " " + site.own.place : ""), " ", make("span", human(site.c[1][site.c[1].length - 1]), "dim"));
        entry.addEventListener("click", () => { state.tab = "stacks"; state.open = String(site.index); update(); const row = document.querySelector("tr.site[data-site='" + site.index + "']"); if (row) row.scrollIntoView({ block: "center" }); });
        $("legend").append(entry);
      });
      courseMoment = (place, clientX, clientY) => {
        const moment = moments[coursePlace = Math.max(0, Math.min(moments.length - 1, place))];
        cursor.setAttribute("x1", x(moment.t)); cursor.setAttribute("x2", x(moment.t)); cursor.setAttribute("visibility", "visible");
        const lines = [seconds(moment.t)];
        if (known) lines.push("outstanding " + human(moment.bytes) + " in " + counted(moment.count, "block"));
        if (moment.rss !== null) lines.push("resident " + human(moment.rss));
        stacks.forEach((site) => lines.push(site.title + " " + human(courseAt(site.c, moment.t))));
        $("tip").textContent = lines.join("\n");
        const box = svg.getBoundingClientRect();
        showTip(clientX === undefined ? box.left + x(moment.t) * box.width / width : clientX, clientY === undefined ? box.top + 30 : clientY, false);
      };
      svg.onmousemove = (event) => {
        const box = svg.getBoundingClientRect(), time = ((event.clientX - box.left) * width / box.width - left) / span * last;
        let nearest = 0;
        moments.forEach((moment, place) => { if (Math.abs(moment.t - time) < Math.abs(moments[nearest].t - time)) nearest = place; });
        courseMoment(nearest, event.clientX, event.clientY);
      };
      svg.onmouseleave = svg.onblur = () => { cursor.setAttribute("visibility", "hidden"); hideTip(); };
      svg.onkeydown = (event) => {
        const move = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
        if (!move) return;
        event.preventDefault(); courseMoment(coursePlace < 0 ? (move > 0 ? 0 : moments.length - 1) : coursePlace + move);
      };
    }

    """#
}
