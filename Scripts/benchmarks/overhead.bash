# What a malloc+free pair costs: the same program, every mode in turn, round after round, so that what else the machine
# does falls on all of them alike. A round's figure is the best of five runs inside the program; the least round counts.
# shellcheck shell=bash disable=SC2154,SC2034  # variables pass between this file and what sources it

run_pairs() {
  release_waiting
  finish_waiting
  cat "$scratch/waiting.out"
}

start_pairs() { start_waiting "$scratch/pairs" "$1" 64 5; }

pairs_untraced() {
  start_pairs 1000000
  run_pairs
}

# pairs_leaktrace COUNT OPTIONS…
pairs_leaktrace() {
  start_pairs "$1"
  start_tracer -p "$waiting" "${@:2}"
  run_pairs
  wait "$tracer" || true
}

bpftrace_script() {
  local libc
  libc=$(ldd "$scratch/pairs" | awk '/libc\.so/ { print $3 }')
  cat <<SCRIPT
uprobe:$libc:malloc { @size[tid] = arg0; }
uretprobe:$libc:malloc /@size[tid]/ {
  @stack[retval] = ustack; @bytes[retval] = @size[tid]; @time[retval] = nsecs; delete(@size[tid]);
}
uprobe:$libc:free { delete(@stack[arg0]); delete(@bytes[arg0]); delete(@time[arg0]); }
interval:ms:100 { printf("attached\n"); }
END { clear(@size); clear(@stack); clear(@bytes); clear(@time); }
SCRIPT
}

pairs_bpftrace() {
  bpftrace_script >"$scratch/pairs.bt"
  : >"$scratch/bpftrace.out"
  start_pairs 10000
  bpftrace -B line -p "$waiting" "$scratch/pairs.bt" >"$scratch/bpftrace.out" 2>&1 &
  local tool=$!
  background+=("$tool")
  # The interval probe is attached after those before it in the file.
  if ! wait_until 20 grep -q attached "$scratch/bpftrace.out"; then
    run_pairs >/dev/null
    tail -1 "$scratch/bpftrace.out" >"$scratch/reason"
    return 1
  fi
  sleep 0.3
  run_pairs
  kill -INT "$tool" 2>/dev/null || true
  wait "$tool" || true
}

pairs_memleak() {
  : >"$scratch/memleak.out"
  start_pairs 10000
  memleak-bpfcc -p "$waiting" 60 1 >"$scratch/memleak.out" 2>&1 &
  local tool=$!
  background+=("$tool")
  if ! wait_until 20 grep -q 'Attaching' "$scratch/memleak.out" || ! sleep 3 || ! kill -0 "$tool" 2>/dev/null; then
    run_pairs >/dev/null
    { grep -m 1 'error:' "$scratch/memleak.out" || tail -1 "$scratch/memleak.out"; } >"$scratch/reason"
    return 1
  fi
  run_pairs
  kill -INT "$tool" 2>/dev/null || true
  wait "$tool" || true
}

pairs_heaptrack() {
  echo | heaptrack -r -o "$scratch/heaptrack" "$scratch/pairs" 100000 64 5 2>/dev/null | grep -xE '[0-9.]+'
}

pairs_memcheck() { echo | valgrind -q "$scratch/pairs" 10000 64 5 2>/dev/null; }

pairs_massif() {
  echo | valgrind -q --tool=massif --massif-out-file=/dev/null "$scratch/pairs" 10000 64 5 2>/dev/null
}

# Label and command of each mode, in the order of the table.
overhead_modes() {
  cat <<MODES
untraced|pairs_untraced
leaktrace trace|pairs_leaktrace 40000
leaktrace trace --sample-bytes 524288|pairs_leaktrace 40000 --sample-bytes 524288
leaktrace trace --no-mappings|pairs_leaktrace 40000 --no-mappings
leaktrace trace --frame-pointers|pairs_leaktrace 40000 --frame-pointers
leaktrace trace --frame-pointers --no-mappings|pairs_leaktrace 40000 --frame-pointers --no-mappings
leaktrace trace --perf-links|pairs_leaktrace 40000 --perf-links
free probed at its entry (leaktrace --probe-entries)|pairs_leaktrace 10000 --probe-entries
leaktrace trace --gate|pairs_leaktrace 40000 --gate
leaktrace trace --gate --sample-bytes 524288|pairs_leaktrace 1000000 --gate --sample-bytes 524288
leaktrace trace --gate -z 4096|pairs_leaktrace 1000000 --gate -z 4096
MODES
  [ "${PEERS:-yes}" = yes ] || return 0
  cat <<MODES
bpftrace, the same job|pairs_bpftrace
bcc memleak|pairs_memleak
heaptrack (started under it)|pairs_heaptrack
valgrind memcheck (started under it)|pairs_memcheck
valgrind massif (started under it)|pairs_massif
MODES
}

bench_overhead() {
  local round line label value index=0 labels=() commands=()
  [ "${PEERS:-yes}" = no ] || install_missing bpftrace bpfcc-tools heaptrack valgrind
  compile loads/pairs
  while IFS='|' read -r label line; do
    labels+=("$label")
    commands+=("$line")
  done < <(overhead_modes)
  say "overhead: $rounds rounds of ${#labels[@]} modes"
  for ((round = 1; round <= rounds; round++)); do
    for index in "${!labels[@]}"; do
      # A mode that cannot run here is not tried again.
      if [ ! -e "$scratch/no-$index" ]; then
        ${commands[index]} >"$scratch/value" || : >"$scratch/value"
        value=$(cat "$scratch/value")
        if [[ $value =~ ^[0-9.]+$ ]]; then
          echo "$value" >>"$scratch/overhead-$index"
        elif [ -e "$scratch/reason" ]; then
          mv "$scratch/reason" "$scratch/no-$index"
        fi
      fi
    done
    printf '.' >&2
  done
  echo >&2
  overhead_table "${labels[@]}"
}

least_of() { if [ -s "$scratch/overhead-$1" ]; then least <"$scratch/overhead-$1"; fi; }

overhead_table() {
  local label value untraced full index=0
  untraced=$(least_of 0)
  full=$(least_of 1)
  heading "Cost of a malloc+free pair of 64 bytes (ns, least of $rounds rounds; added: beyond untraced; ratio: of what leaktrace adds)"
  printf '%-54s %10s %10s %8s\n' mode 'ns/pair' added ratio
  for label; do
    value=$(least_of "$index")
    if [ -n "$value" ]; then
      awk -v label="$label" -v value="$value" -v untraced="$untraced" -v full="$full" 'BEGIN {
        printf "%-54s %10.1f %10.1f %8.2f\n", label, value, value - untraced, (value - untraced) / (full - untraced) }'
    else
      printf '%-54s %s\n' "$label" "does not run here: $(cut -c 1-110 "$scratch/no-$index" 2>/dev/null)"
    fi
    index=$((index + 1))
  done
  echo
  figure 'pair traced in full' "$full" ns 3000
  figure 'pair with --sample-bytes 524288' "$(least_of 2)" ns 1700
  figure 'pair through a gate, every call recorded' "$(least_of 8)" ns 1000
  figure 'added to a pair by a gate with --sample-bytes 524288' \
    "$(awk "BEGIN { printf \"%.1f\", $(least_of 9) - $untraced }")" ns 6
  figure 'added cost, as a part of that with free probed at entry' \
    "$(awk "BEGIN { printf \"%.3f\", ($full - $untraced) / ($(least_of 7) - $untraced) }")" '' 0.25
}
