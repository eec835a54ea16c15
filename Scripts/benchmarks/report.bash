# From the request to the report: a million outstanding blocks from 1,024 stacks.
# shellcheck shell=bash disable=SC2154,SC2034  # variables pass between this file and what sources it

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

# How long a browser takes until a page of 10,000 sites has been drawn and a filter has been applied to it. The page says
# so itself, to a server that answers one request.
bench_page() {
  local round port=$((20000 + RANDOM % 10000)) browser
  install_missing chromium python3
  heading "Page of 10,000 sites of 40 frames in a browser ($rounds rounds)"
  "$bench" 10000 40 html "$scratch/page.html"
  cat >>"$scratch/page.html" <<PAGE
<script>addEventListener("load", () => requestAnimationFrame(() => setTimeout(() => {
  const loaded = performance.now(), field = document.getElementById("filter");
  field.value = "class<std::vector<int>, 77"; field.dispatchEvent(new Event("input"));
  const poll = () => { if (document.getElementById("shown").textContent.startsWith("10,000")) return setTimeout(poll, 5);
    location = \`http://127.0.0.1:$port/\${loaded.toFixed(0)}/\${(performance.now() - loaded).toFixed(0)}\`; };
  poll();
})));</script>
PAGE
  for ((round = 1; round <= rounds; round++)); do
    timeout 60 python3 -c "
import http.server
class Times(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        print(*self.path.split('/')[1:])
    def log_message(self, *arguments):
        pass
http.server.HTTPServer(('127.0.0.1', $port), Times).handle_request()" >"$scratch/times" &
    local server=$!
    sleep 0.5
    chromium --headless --no-sandbox --disable-gpu --no-first-run --user-data-dir="$scratch/profile$round" \
      --remote-debugging-port=0 "file://$scratch/page.html" >"$scratch/chromium.err" 2>&1 &
    browser=$!
    background+=("$browser")
    wait "$server" || fail "the browser does not load the page: $(tail -n 3 "$scratch/chromium.err")"
    kill "$browser"
    wait "$browser" || true
    cat "$scratch/times"
  done >"$scratch/page-times"
  figure 'page: interactive' "$(awk '{ print $1 }' "$scratch/page-times" | least)" ms 2000
  printf 'page: filtered in %s ms\n' "$(awk '{ print $2 }' "$scratch/page-times" | least)"
}

bench_report() {
  local round format
  compile loads/many_blocks
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
