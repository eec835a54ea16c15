# From the start of leaktrace until the process is probed: the process has libc and ten more libraries.
# shellcheck shell=bash disable=SC2154,SC2034  # variables pass between this file and what sources it

# Milliseconds. leaktrace says on standard error when it has attached.
attach_once() {
  local start line
  start=$EPOCHREALTIME
  while read -r line; do
    [[ $line != *'attached to'* ]] || awk "BEGIN { printf \"%.1f\n\", ($EPOCHREALTIME - $start) * 1000 }"
  done < <("$leaktrace" trace -v -p "$1" --duration 0.2 2>&1 >/dev/null)
}

bench_attach() {
  local round
  compile loads/pairs -Wl,--no-as-needed -lbpf -lelf -ldw -lz -llzma -lbz2 -lcapstone -lstdc++ -lm -lgcc_s
  start_waiting "$scratch/pairs" 1
  say "attach: $rounds rounds"
  for ((round = 1; round <= rounds; round++)); do attach_once "$waiting"; done >"$scratch/attach"
  finish_waiting
  heading "Start of leaktrace until a process with 10 libraries besides libc is probed ($rounds rounds)"
  figure 'attached, least' "$(least <"$scratch/attach")" ms 300
  figure 'attached, greatest' "$(greatest <"$scratch/attach")" ms 300
}
