# The leak check of a process of 2 million blocks and 1 GB with 20,000 planted leaks.
# shellcheck shell=bash

# scan_value NAME: what scan-bench printed.
scan_value() { awk -v name="$1" '$1 == name { print $2 }' "$scratch/scan.out"; }

# The search alone, without the tracer: scan-bench stands beside leaktrace where Scripts/bench built both.
measure_scan() {
  local blocks planted
  "$(dirname "$leaktrace")/scan-bench" "$scratch/planted_leaks" 2000000 565 20000 -r "$rounds" >"$scratch/scan.out"
  blocks=$(scan_value blocks)
  planted=$(scan_value leaks_planted)
  figure 'search: stopped' "$(scan_value stopped_ms)" ms 250
  figure 'search: in total' "$(scan_value total_ms)" ms 500
  printf 'collecting %s ms, sorting %s ms, reading %s ms, classifying %s ms; %s bytes searched\n' \
    "$(scan_value collect_ms)" "$(scan_value sort_ms)" "$(scan_value read_ms)" "$(scan_value classify_ms)" \
    "$(scan_value scanned_bytes)"
  figure 'search: planted leaks missed' "$(awk "BEGIN { print ($planted - $(scan_value leaks_found)) * 100 / $planted }")" % 0.1
  figure 'search: false leaks' "$(scan_value false_leaks)" '' 0
  figure 'search: memory, 64 bytes a block and 16 MiB' "$(mebibytes "$(scan_value memory_bytes)")" MiB \
    "$(mebibytes $((64 * blocks + (16 << 20))))"
}

bench_leak-check() {
  [ -x "$(dirname "$leaktrace")/scan-bench" ] || fail "scan-bench is not beside $leaktrace"
  compile planted_leaks
  heading "Leak check of 2 million blocks, 1.2 GB, 20,000 of them leaked ($rounds rounds)"
  measure_scan
}
