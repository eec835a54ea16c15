# What the measurements share.
# shellcheck shell=bash disable=SC2154,SC2034  # variables pass between this file and what sources it

missed=0

compile() { gcc -O2 -g -o "$scratch/$(basename "$1")" "Tests/Programs/$1.c" "${@:2}"; }

heading() { printf '\n%s\n' "$*"; }

# figure NAME VALUE UNIT GOAL: one line, the goal an upper limit.
figure() { figure_line "$1" "$2" "$3" '<=' "$4"; }

# figure_at_least NAME VALUE UNIT GOAL: the same, the goal a lower limit.
figure_at_least() { figure_line "$1" "$2" "$3" '>=' "$4"; }

figure_line() {
  local result=met
  if ! awk "BEGIN { exit !($2 $4 $5) }"; then
    result=MISSED
    missed=$((missed + 1))
  fi
  printf '%-62s %10s %-4s goal %2s %7s %s\n' "$1" "$2" "$3" "$4" "$5" "$result"
}

mebibytes() { awk "BEGIN { printf \"%.1f\", $1 / 1048576 }"; }

least() { sort -g | head -1; }
greatest() { sort -g | tail -1; }

# start_tracer OPTIONS…: `leaktrace trace` in the background, until it says that it has attached. Its report goes to
# $scratch/tracer.out, which may be a pipe that somebody reads.
start_tracer() {
  : >"$scratch/tracer.err"
  "$leaktrace" trace -v "$@" >"$scratch/tracer.out" 2>"$scratch/tracer.err" &
  tracer=$!
  background+=("$tracer")
  wait_until 20 grep -q 'attached to' "$scratch/tracer.err" || fail "trace $*: $(cat "$scratch/tracer.err")"
}

stop_tracer() {
  kill -INT "$tracer" 2>/dev/null || true
  wait "$tracer" || true
}

# start_waiting PROGRAM ARGUMENTS…: a program that waits for a line on its standard input; $waiting is its process id.
start_waiting() {
  rm -f "$scratch/start"
  : >"$scratch/waiting.out"
  mkfifo "$scratch/start"
  "$@" <"$scratch/start" >"$scratch/waiting.out" &
  waiting=$!
  background+=("$waiting")
  exec 7>"$scratch/start"
}

# Lets it begin.
release_waiting() { echo >&7; }

# Ends its standard input and waits for it.
finish_waiting() {
  exec 7>&-
  wait "$waiting" || true
}
