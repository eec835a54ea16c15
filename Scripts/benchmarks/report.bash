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
  local bench format round line
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
  bench_formats
}
