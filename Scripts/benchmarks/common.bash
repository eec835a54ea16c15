# What the measurements share.
# shellcheck shell=bash

missed=0

compile() { gcc -O2 -g -o "$scratch/$1" "Tests/Programs/$1.c" "${@:2}"; }

heading() { printf '\n%s\n' "$*"; }

# verdict VALUE LIMIT: whether a figure is at most its goal.
verdict() {
  if awk "BEGIN { exit !($1 <= $2) }"; then printf 'met'; else printf 'MISSED'; fi
}

# figure NAME VALUE UNIT GOAL: one line, the goal an upper limit.
figure() {
  local result
  result=$(verdict "$2" "$4")
  [ "$result" = met ] || missed=$((missed + 1))
  printf '%-58s %10s %-4s goal %8s %s\n' "$1" "$2" "$3" "$4" "$result"
}

least() { sort -g | head -1; }
milliseconds_now() { awk -v seconds="$EPOCHREALTIME" 'BEGIN { printf "%.0f", seconds * 1000 }'; }

# start_tracer OPTIONS…: `leaktrace trace` in the background, until it says that it has attached.
start_tracer() {
  : >"$scratch/tracer.err"
  as_root "$leaktrace" trace -v "$@" >"$scratch/tracer.out" 2>"$scratch/tracer.err" &
  tracer=$!
  background+=("$tracer")
  wait_until 20 grep -q 'attached to' "$scratch/tracer.err" ||
    fail "leaktrace trace $*: $(cat "$scratch/tracer.err")"
}

stop_tracer() {
  as_root kill -INT "$tracer" 2>/dev/null || true
  wait "$tracer" || true
}
