# What tracing the kernel costs system calls that make and free kernel objects: untraced, with the default tier, with all
# stacks, and with a bpftrace script that does memleak's job, in turn, round after round. The program prints its best
# batch; the least of all rounds counts.
# shellcheck shell=bash disable=SC2154,SC2034  # variables pass between this file and what sources it

kernel_call() { echo | "$scratch/kernel_calls" "$1" "${SECONDS_EACH:-2}"; }

# traced_kernel_call CALL OPTIONS…
traced_kernel_call() {
  : >"$scratch/kernel.err"
  "$leaktrace" kernel -v "${@:2}" 100 >"$scratch/kernel.out" 2>"$scratch/kernel.err" &
  local tool=$!
  background+=("$tool")
  wait_until 20 grep -q 'tracing the kernel' "$scratch/kernel.err" || fail "kernel ${*:2}: $(cat "$scratch/kernel.err")"
  sleep 0.3
  kernel_call "$1"
  kill -INT "$tool" 2>/dev/null || true
  wait "$tool" || true
}

memleak_script() {
  cat <<'SCRIPT'
tracepoint:kmem:kmalloc, tracepoint:kmem:kmem_cache_alloc {
  @stack[args->ptr] = kstack; @bytes[args->ptr] = args->bytes_alloc; @time[args->ptr] = nsecs;
}
tracepoint:kmem:kfree, tracepoint:kmem:kmem_cache_free {
  delete(@stack[args->ptr]); delete(@bytes[args->ptr]); delete(@time[args->ptr]);
}
interval:ms:100 { printf("attached\n"); }
END { clear(@stack); clear(@bytes); clear(@time); }
SCRIPT
}

bpftrace_kernel_call() {
  : >"$scratch/bpftrace.out"
  # It reads the arguments of tracepoints from the tracing file system, which need not be mounted here.
  BPFTRACE_MAP_KEYS_MAX=400000 unshare --mount sh -c 'mount -t tracefs tracing /sys/kernel/tracing; exec bpftrace "$@"' - \
    -B line "$scratch/memleak.bt" >"$scratch/bpftrace.out" 2>&1 &
  local tool=$!
  background+=("$tool")
  if wait_until 20 grep -q attached "$scratch/bpftrace.out"; then kernel_call "$1"; fi
  kill -INT "$tool" 2>/dev/null || true
  wait "$tool" || true
}

bench_kernel() {
  local call round mode
  [ "${PEERS:-yes}" = no ] || install_missing bpftrace
  compile kernel/kernel_calls
  memleak_script >"$scratch/memleak.bt"
  say "kernel: $rounds rounds of 3 system calls"
  for ((round = 1; round <= rounds; round++)); do
    for call in pipe eventfd open; do
      kernel_call "$call" >>"$scratch/kernel-$call-untraced"
      traced_kernel_call "$call" >>"$scratch/kernel-$call-default"
      traced_kernel_call "$call" --stacks all >>"$scratch/kernel-$call-all"
      [ "${PEERS:-yes}" = no ] || bpftrace_kernel_call "$call" >>"$scratch/kernel-$call-bpftrace"
    done
    printf '.' >&2
  done
  echo >&2
  heading "A system call with its close (ns, least of $rounds rounds), and how many times as long it takes traced"
  for call in pipe eventfd open; do
    for mode in untraced default all bpftrace; do
      [ -s "$scratch/kernel-$call-$mode" ] || continue
      printf '%-54s %10s %8s\n' "$call(), $mode" "$(least <"$scratch/kernel-$call-$mode")" "$(slowdown "$call" "$mode")"
    done
  done
  echo
  for call in pipe eventfd open; do
    figure "$call(): slowdown, default tier" "$(slowdown "$call" default)" x 1.9
    figure "$call(): slowdown, all stacks" "$(slowdown "$call" all)" x 5.5
  done
}

# slowdown CALL MODE
slowdown() {
  awk -v traced="$(least <"$scratch/kernel-$1-$2")" -v untraced="$(least <"$scratch/kernel-$1-untraced")" \
    'BEGIN { printf "%.2f", traced / untraced }'
}
