# A leak check of two million blocks in a gigabyte of resident memory, some of them lost: how long it takes, how long the
# process is stopped, what it finds, and what memory leaktrace needs for it.
# shellcheck shell=bash disable=SC2154,SC2034  # variables pass between this file and what sources it

source Scripts/benchmarks/memory.bash

check_blocks=2000000
check_leaks=20000
check_bytes=1130000000

# check_fields FILE: a line for each check in a JSON report's lines: its method, milliseconds stopped and in all, lost
# blocks of the site that loses, lost blocks of all other sites.
check_fields() {
  python3 - "$1" <<'SCRIPT'
import json
import sys

for line in open(sys.argv[1]):
    if not line.startswith('{"schema"'):
        continue
    report = json.loads(line)
    found = wrong = 0
    for site in report["sites"]:
        lost = sum(site["verdict"][kind]["count"] for kind in ("definitely_lost", "indirectly_lost"))
        if any(frame["function"] == "lose" for frame in site["frames"]):
            found += lost
        else:
            wrong += lost
    for check in report["leak_checks"]:
        print(check["method"], f"{check['paused_seconds'] * 1000:.1f}", f"{check['took_seconds'] * 1000:.1f}",
              found, wrong)
SCRIPT
}

# Runs the program from its start under leaktrace, and checks it `rounds` times when it has all its blocks.
run_leak_load() {
  rm -f "$scratch/start"
  mkfifo "$scratch/start"
  exec 7<>"$scratch/start"
  STEPS=1 "$leaktrace" trace --leak-check --leak-kinds all --max-allocations 2500000 "$@" \
    -- "$scratch/leak_load" "$check_blocks" "$check_leaks" "$check_bytes" <"$scratch/start" >"$scratch/checks.json" 7>&- &
  tracer=$!
  background+=("$tracer")
  echo >&7
  wait_until 120 grep -q built "$scratch/checks.json" || fail "the program does not get its blocks"
}

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
  local fields round
  install_missing python3
  compile loads/leak_load
  compile planted_leaks
  heading "Leak check of $check_blocks blocks, $check_leaks of them lost, in $((check_bytes / 1000000)) MB ($rounds rounds)"
  measure_scan
  run_leak_load --format json 2
  # Checks made before all blocks were there do not count.
  round=$(check_fields "$scratch/checks.json" | wc -l)
  wait_until 120 enough_checks $((round + rounds + 1)) || fail "too few checks"
  figure "leaktrace's own memory (VmHWM)" \
    "$(mebibytes "$(awk '/^VmHWM:/ { print $2 * 1024 }' "/proc/$tracer/status")")" MiB \
    "$(awk "BEGIN { printf \"%.0f\", $check_blocks * 64 / 1048576 + 16 }")"
  kill -INT "$tracer"
  wait "$tracer" || true
  exec 7>&-
  check_fields "$scratch/checks.json" | tail -n "+$((round + 2))" | head -n "$rounds" >"$scratch/checks"
  figure 'stopped, least' "$(awk '{ print $2 }' "$scratch/checks" | least)" ms 250
  figure 'stopped, greatest' "$(awk '{ print $2 }' "$scratch/checks" | greatest)" ms 250
  figure 'in all, least' "$(awk '{ print $3 }' "$scratch/checks" | least)" ms 500
  figure 'in all, greatest' "$(awk '{ print $3 }' "$scratch/checks" | greatest)" ms 500
  fields=$(awk -v all="$check_leaks" '{ print (all - $4) / all * 100 }' "$scratch/checks" | greatest)
  figure 'planted leaks not found' "$fields" % 0.1
  figure 'blocks falsely called lost' "$(awk '{ print $5 }' "$scratch/checks" | greatest)" '' 0
  awk '{ print $1 }' "$scratch/checks" | sort | uniq -c | awk '{ printf "%s: %s checks\n", $2, $1 }'
}

enough_checks() { [ "$(check_fields "$scratch/checks.json" | wc -l)" -ge "$1" ]; }
