# From the request to the report: a million outstanding blocks from 1,024 stacks.
# shellcheck shell=bash

# start_million OPTIONS…: a program with a million blocks under a tracer with these options.
start_million() {
  start_waiting "$scratch/many_blocks" 1000000
  start_tracer -p "$waiting" "$@"
  release_waiting
  wait_until 60 grep -q ready "$scratch/waiting.out" || fail "the program with a million blocks does not get ready"
}

# report_once FORMAT: milliseconds from SIGINT until the report is written and leaktrace has ended, its probes taken off.
report_once() {
  local start
  start_million --duration 300 --format "$1"
  start=$EPOCHREALTIME
  stop_tracer
  awk "BEGIN { printf \"%.0f\n\", ($EPOCHREALTIME - $start) * 1000 }"
  finish_waiting
}

# Each format for a report of 10,000 sites with 40 frames.
bench_formats() {
  local format round line
  quietly swift build -c release --product report-bench
  bench=$(swift build -c release --show-bin-path)/report-bench
  heading "Report of 10,000 sites of 40 frames in each format ($rounds rounds)"
  for format in text json pprof folded flamegraph speedscope massif heaptrack gperftools valgrind csv html read; do
    for ((round = 1; round <= rounds; round++)); do "$bench" 10000 40 "$format"; done | sort -g | head -1 >"$scratch/line"
    read -r -a line <"$scratch/line"
    figure "$format: time" "${line[0]}" ms 1000
    figure "$format: memory beside the report" "${line[2]}" MiB 200
    printf '%s: %s bytes\n' "$format" "${line[1]}"
  done
}

# How long a browser takes until a page of 10,000 sites has been drawn and a filter has been applied to it.
bench_page() {
  local round
  install_missing chromium
  heading "Page of 10,000 sites of 40 frames in a browser ($rounds rounds)"
  "$bench" 10000 40 html "$scratch/page.html"
  cat >>"$scratch/page.html" <<'PAGE'
<script>addEventListener("load", () => requestAnimationFrame(() => setTimeout(() => {
  const loaded = performance.now(), field = document.getElementById("filter");
  field.value = "class<std::vector<int>, 77"; field.dispatchEvent(new Event("input"));
  const poll = () => { if (document.getElementById("shown").textContent.startsWith("10,000")) return setTimeout(poll, 5);
    const made = document.createElement("pre"); made.id = "times";
    made.textContent = loaded.toFixed(0) + " " + (performance.now() - loaded).toFixed(0); document.body.append(made); };
  poll();
}))));</script>
PAGE
  for ((round = 1; round <= rounds; round++)); do
    chromium --headless --no-sandbox --disable-gpu --no-first-run --user-data-dir="$scratch/profile" --timeout=60000 \
      --dump-dom "file://$scratch/page.html" 2>"$scratch/chromium.err" |
      sed -n 's/.*<pre id="times">\([0-9]*\) \([0-9]*\)<.*/\1 \2/p'
  done >"$scratch/page-times"
  [ -s "$scratch/page-times" ] || fail "the browser does not load the page: $(tail -n 3 "$scratch/chromium.err")"
  figure 'page: interactive' "$(awk '{ print $1 }' "$scratch/page-times" | least)" ms 2000
  printf 'page: filtered in %s ms\n' "$(awk '{ print $2 }' "$scratch/page-times" | least)"
}

bench_report() {
  local round format
  compile many_blocks
  heading "Report of a million outstanding blocks from 1,024 stacks, from SIGINT until leaktrace has ended ($rounds rounds)"
  for format in text json; do
    for ((round = 1; round <= rounds; round++)); do report_once "$format"; done >"$scratch/reports"
    figure "report in $format, least" "$(least <"$scratch/reports")" ms 1000
    figure "report in $format, greatest" "$(greatest <"$scratch/reports")" ms 1000
    printf 'the last said: %s\n' "$(
      grep -m 1 -oE '"outstanding_count":[0-9]+|outstanding: .* blocks?$' "$scratch/tracer.out" | sed -n 1p)"
  done
  local bench
  bench_formats
  bench_page
}
