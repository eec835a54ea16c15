# leaktrace's own memory (the most that it ever had resident) and the kernel memory of its maps, after reports on real
# programs and on a million blocks.
# shellcheck shell=bash disable=SC2154,SC2034  # variables pass between this file and what sources it

source Scripts/benchmarks/report.bash

# Bytes that the kernel accounts to the maps that a process has open, each map once.
map_bytes() {
  cat "/proc/$1"/fdinfo/* 2>/dev/null |
    awk '/^memlock:/ { bytes = $2 } /^map_id:/ { size[$2] = bytes } END { for (id in size) sum += size[id]; print sum + 0 }'
}

# measure_memory NAME: of the tracer that runs, once it has reported; then ends it.
measure_memory() {
  wait_until 30 test -s "$scratch/report.json" || fail "no report of $1"
  sleep 2.5
  figure "$1: leaktrace's own memory (VmHWM)" \
    "$(mebibytes "$(awk '/^VmHWM:/ { print $2 * 1024 }' "/proc/$tracer/status")")" MiB 64
  figure "$1: kernel memory of its maps" "$(mebibytes "$(map_bytes "$tracer")")" MiB 64
  stop_tracer
  rm "$scratch/report.json"
}

report_options=(1 --format text --output - --format json)

memory_of_python() {
  python3 -c '
import json, time
kept = []
end = time.time() + 60
while time.time() < end:
    kept.append(json.loads(json.dumps({str(n): ["x" * 600] for n in range(20)})))
    time.sleep(0.001)' &
  local program=$!
  background+=("$program")
  sleep 0.5
  start_tracer -p "$program" "${report_options[@]}" --output "$scratch/report.json"
  measure_memory python3
  kill "$program"
}

memory_of_redis() {
  local socket="$scratch/redis.sock"
  redis-server --port 0 --unixsocket "$socket" --save '' --dir "$scratch" >/dev/null &
  local program=$!
  background+=("$program")
  wait_until 10 test -S "$socket"
  redis-benchmark -s "$socket" -t set,lpush -r 100000 -n 2000000 -q >/dev/null 2>&1 &
  local load=$!
  background+=("$load")
  start_tracer -p "$program" "${report_options[@]}" --output "$scratch/report.json"
  measure_memory redis-server
  kill "$load" "$program"
}

bench_memory() {
  install_missing python3 redis-server redis-tools
  compile loads/many_blocks
  heading "Memory by default settings, after reports every second"
  memory_of_python
  memory_of_redis
  start_million "${report_options[@]}" --output "$scratch/report.json"
  measure_memory 'a million blocks'
  finish_waiting
}
