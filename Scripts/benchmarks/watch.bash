# observe and watch: CPU time of a look at 1,000 processes, CPU and memory of a watch when nothing happens, and its budget
# while a program allocates as fast as it can.
# shellcheck shell=bash disable=SC2154,SC2034  # variables pass between this file and what sources it

# CPU seconds of a process so far.
cpu_seconds() { awk -v ticks="$(getconf CLK_TCK)" '{ sub(/.*\) /, ""); print ($12 + $13) / ticks }' "/proc/$1/stat"; }

# start_watch OPTIONS…: sets $watcher, and $metrics to the address of its metrics.
start_watch() {
  : >"$scratch/watch.log"
  "$leaktrace" watch --listen 127.0.0.1:0 "$@" 2>"$scratch/watch.log" &
  watcher=$!
  background+=("$watcher")
  wait_until 20 grep -q 'watching: budget' "$scratch/watch.log" || fail "watch $*: $(cat "$scratch/watch.log")"
  metrics=$(grep -o 'http://.*/metrics' "$scratch/watch.log")
}

stop_watch() {
  kill "$watcher"
  wait "$watcher" || fail "watch: $(cat "$scratch/watch.log")"
}

# metric NAME: the value of the first sample that begins so.
metric() {
  python3 -c '
import sys, urllib.request
for line in urllib.request.urlopen(sys.argv[1]).read().decode().splitlines():
    if line.startswith(sys.argv[2]):
        print(line.split()[-1])
        break' "$metrics" "$1"
}

watch_idle() {
  local seconds=60 before
  start_watch --history "$scratch/history.db"
  sleep 15
  before=$(cpu_seconds "$watcher")
  sleep "$seconds"
  figure "$1: CPU of watch" "$(awk "BEGIN { printf \"%.2f\", ($(cpu_seconds "$watcher") - $before) / $seconds * 100 }")" % 1
  figure "$1: resident memory of watch" "$(mebibytes "$(awk '/^VmRSS:/ { print $2 * 1024 }' "/proc/$watcher/status")")" MiB 48
  stop_watch
  rm -f "$scratch"/history.db*
}

bench_watch() {
  local sleeper sleepers=() storm
  heading "observe and watch ($(nproc) CPUs)"
  watch_idle 'as the host is'
  for ((sleeper = 0; sleeper < 1000; sleeper++)); do
    sleep 600 &
    sleepers+=("$!")
  done
  background+=("${sleepers[@]}")
  "$leaktrace" observe --for 20s --interval 1s --format json >"$scratch/observation"
  figure 'a sample of 1,000 processes: CPU of observe' \
    "$(python3 -c 'import json, sys; print("%.1f" % (json.load(sys.stdin)["cpu_seconds_per_sample"] * 1000))' <"$scratch/observation")" ms 100
  watch_idle '1,000 processes'
  kill "${sleepers[@]}"
  wait "${sleepers[@]}" 2>/dev/null || true

  compile loads/pairs
  start_waiting "$scratch/pairs" 100000000000 64
  storm=$waiting
  release_waiting
  start_watch --budget 1% --target "pid:$storm" --trace-every 10s --no-arm
  sleep 420
  figure 'malloc storm: CPU of watch and its probes, as part of the budget' \
    "$(awk "BEGIN { printf \"%.2f\", $(metric leaktrace_overhead_ratio) / $(metric leaktrace_budget_ratio) }")" '' 1.2
  figure_at_least 'malloc storm: traces in 7 minutes' "$(metric leaktrace_traces_total)" '' 1
  stop_watch
  kill "$storm"
  finish_waiting
}
