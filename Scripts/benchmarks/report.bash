# From the request until the whole report has been read: a million outstanding blocks from 1,024 stacks.
# shellcheck shell=bash

# start_million OPTIONS…: a program with a million blocks under a tracer with these options.
start_million() {
  start_waiting "$scratch/many_blocks" 1000000
  start_tracer -p "$waiting" "$@"
  release_waiting
  wait_until 60 grep -q ready "$scratch/waiting.out" || fail "the program with a million blocks does not get ready"
}

# report_once FORMAT: milliseconds from SIGINT to the end of the report, and to the end of leaktrace.
report_once() {
  local start line printed=0 reader
  mkfifo "$scratch/tracer.out"
  while IFS= read -r line; do
    printed=$EPOCHREALTIME
    [[ $line != *outstanding* ]] || printf '%s\n' "$line"
  done <"$scratch/tracer.out" >"$scratch/outstanding" && echo "$printed" >"$scratch/printed" &
  reader=$!
  start_million --duration 300 --format "$1"
  start=$EPOCHREALTIME
  stop_tracer
  line=$EPOCHREALTIME
  wait "$reader"
  awk "BEGIN { printf \"%.0f %.0f\n\", ($(cat "$scratch/printed") - $start) * 1000, ($line - $start) * 1000 }"
  rm "$scratch/tracer.out"
  finish_waiting
}

bench_report() {
  local round format
  compile many_blocks
  heading "Report of a million outstanding blocks, from SIGINT ($rounds rounds)"
  for format in text json; do
    for ((round = 1; round <= rounds; round++)); do report_once "$format"; done >"$scratch/reports"
    grep -m 1 -oE '"outstanding_count":[0-9]+|outstanding: .* blocks?$' "$scratch/outstanding" | sed -n 1p
    figure "report printed ($format), least" "$(cut -d' ' -f1 "$scratch/reports" | least)" ms 1000
    figure "report printed and leaktrace ended ($format), least" "$(cut -d' ' -f2 "$scratch/reports" | least)" ms 1000
  done
}
