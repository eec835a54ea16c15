# The stack walker beside the kernel's own (bpf_get_stackid) on the same events, and naming what it finds: how many stacks
# are complete, what a walk costs, the tables it needs, and what a report pays for names.
# shellcheck shell=bash disable=SC2154,SC2034  # variables pass between this file and what sources it

unwind_packages=(python3 redis-server redis-tools nginx-light git perl ripgrep libc6-dbg g++ gcc)

unwind_bench() { "$(dirname "$leaktrace")/unwind-bench" "$@"; }

# value NAME FILE: what unwind-bench printed under a name.
value() { awk -v name="$1" '$1 == name { print $2 }' "$2"; }

# walk NAME OPTIONS… -- COMMAND…: one round of a program; its output is none of ours.
walk() {
  local name=$1
  shift
  unwind_bench run -k "$@" >"$scratch/walk" 2>"$scratch/walk.err" || fail "$name: $(cat "$scratch/walk" "$scratch/walk.err")"
  keep_walk "$name"
}

keep_walk() {
  local key
  for key in events frames complete truncated walk_median kernel_median; do
    value "$key" "$scratch/walk" >>"$scratch/unwind-$1-$key"
  done
  [ -s "$scratch/unwind-$1-walk_median" ] || fail "$1: $(cat "$scratch/walk")"
}

# ---- Programs -----------------------------------------------------------------------------------------------------

walk_python() {
  walk python -- python3 -c '
import json, re, zlib
for number in range(16000):
    text = json.dumps({str(key): [key, "x" * key] for key in range(40)})
    json.loads(text)
    re.compile("a%d(b|c)*" % (number % 50)).sub("-", text)
    zlib.compress(text.encode())
'
}

# walk_server NAME OPTIONS… -- COMMAND…: the same for a server in the foreground, which `ask_NAME` puts under load and ends.
walk_server() {
  local name=$1
  shift
  unwind_bench run -k "$@" >"$scratch/walk" 2>"$scratch/walk.err" &
  local bench=$!
  background+=("$bench")
  wait_until 20 test -S "$scratch/server.sock" || fail "$name does not start: $(cat "$scratch/walk.err")"
  "ask_$name"
  wait "$bench" || fail "$name: $(cat "$scratch/walk" "$scratch/walk.err")"
  rm -f "$scratch/server.sock"
  keep_walk "$name"
}

ask_redis() {
  redis-benchmark -s "$scratch/server.sock" -t set,get,lpush,hset,zadd,lrange_100 -r 10000 -n 10000 -q >/dev/null 2>&1
  redis-cli -s "$scratch/server.sock" shutdown nosave >/dev/null 2>&1 || true
}

walk_redis() {
  local program allocator
  program=$(command -v redis-server)
  # Debian's is linked with jemalloc.
  allocator=$(ldd "$program" | awk '/jemalloc/ { found = $3 } /libc\.so/ { libc = $3 } END { print found ? found : libc }')
  walk_server redis -l "$allocator" -- "$program" --port 0 --unixsocket "$scratch/server.sock" --save '' --dir "$scratch"
}

ask_nginx() {
  python3 - "$scratch/server.sock" <<'PYTHON'
import socket, sys
request = b"GET /page HTTP/1.1\r\nHost: bench\r\nAccept-Encoding: gzip\r\n%s\r\n"
for number in range(4000):
    if number % 4 == 0:
        connection = socket.socket(socket.AF_UNIX)
        connection.connect(sys.argv[1])
        stream = connection.makefile("rb")
    connection.sendall(request % (b"Connection: close\r\n" if number % 4 == 3 else b""))
    assert b"200" in stream.readline()
    length = None
    while (line := stream.readline()) != b"\r\n":
        assert line
    while (size := int(stream.readline(), 16)):
        stream.read(size + 2)
    stream.readline()
PYTHON
  kill "$(cat "$scratch/nginx.pid")"
}

walk_nginx() {
  mkdir -p "$scratch/www"
  seq 20000 >"$scratch/www/page"
  cat >"$scratch/nginx.conf" <<CONFIGURATION
daemon off;
master_process off;
error_log $scratch/nginx.log;
pid $scratch/nginx.pid;
events {}
http {
  access_log off;
  sendfile off;
  gzip on;
  gzip_types *;
  client_body_temp_path $scratch/temp; proxy_temp_path $scratch/temp; fastcgi_temp_path $scratch/temp;
  uwsgi_temp_path $scratch/temp; scgi_temp_path $scratch/temp;
  server { listen unix:$scratch/server.sock; root $scratch/www; }
}
CONFIGURATION
  walk_server nginx -f malloc -f posix_memalign -- nginx -p "$scratch" -c "$scratch/nginx.conf"
}

# A repository with 300 commits to 20 files.
make_repository() {
  local commit file
  [ ! -e "$scratch/repository" ] || return 0
  git init -q "$scratch/repository"
  for ((commit = 1; commit <= 300; commit++)); do
    printf 'commit refs/heads/main\ncommitter Bench <bench@localhost> %d +0000\ndata 8\nchange\n\n' $((commit * 60))
    for file in $((commit % 20)) $((commit * 7 % 20)); do
      printf 'M 644 inline directory-%d/file-%d\ndata <<END\n%s\nEND\n' $((file % 4)) "$file" "$(seq "$commit" 3 1500)"
    done
  done | git -C "$scratch/repository" fast-import --quiet
}

walk_git() {
  make_repository
  # shellcheck disable=SC2016
  walk git -- sh -c 'cd "$1" && git log -p --stat main >/dev/null && git repack -adfq && git fsck >/dev/null 2>&1' \
    sh "$scratch/repository"
}

walk_perl() {
  # shellcheck disable=SC2016
  walk perl -- perl -e '
    sub nest { my $n = shift; return $n ? { deeper => nest($n - 1), list => [map { "x$_" } 1 .. $n] } : {} }
    for my $round (1 .. 400) {
      my %table = map { $_ => nest($_ % 12) } 1 .. 40;
      my $text = join ",", sort { length $a <=> length $b } map { sprintf "%s=%d", $_, scalar keys %{$table{$_}} } keys %table;
      $text =~ s/(\d+)=(\d)/<$1:$2>/g;
    }'
}

walk_rust() { walk rust -- rg --files-with-matches '(mal|re)+oc\w*_[a-z]{3,}' /usr/include; }

walk_clang() {
  printf '#include <%s>\n' iostream map regex >"$scratch/compiled.cpp"
  cat >>"$scratch/compiled.cpp" <<'SOURCE'
int main() {
  std::map<std::string, std::regex> expressions;
  expressions["a"] = std::regex("a*b");
  std::cout << std::regex_match("aab", expressions["a"]);
}
SOURCE
  walk clang -- "$toolchain/clang++" -O2 -c "$scratch/compiled.cpp" -o "$scratch/compiled.o"
}

# ---- Synthetic stacks -----------------------------------------------------------------------------------------------

# walk_depth KIND DEPTH: a stack of exactly so many frames; KIND is `plain` or `pointers` (built with frame pointers).
walk_depth() { walk "$1-$2" -f checkpoint -l "$scratch/$1" -- "$scratch/$1" "$2" 200000; }

unwind_depths=(7 10 18 30 41 60 100)

# ---- The table ------------------------------------------------------------------------------------------------------

best() { least <"$scratch/unwind-$1-$2"; }

unwind_row() {
  printf '%-34s %9s %8s %10s %10s %10s %16s\n' "$2" "$(best "$1" events)" "$(best "$1" frames)" "$(best "$1" complete)" \
    "$(greatest <"$scratch/unwind-$1-truncated")" "$(best "$1" walk_median)" "$(best "$1" kernel_median)"
}

unwind_table() {
  local name depth
  heading "Stacks, the walker beside bpf_get_stackid on the same events ($rounds rounds: least median, in ns without the clock's own; least part complete; greatest part deeper than the limit)"
  printf '%-34s %9s %8s %10s %10s %10s %16s\n' program events frames complete deeper walk bpf_get_stackid
  for name in python redis nginx git perl rust clang; do unwind_row "$name" "${unwind_labels[$name]}"; done
  for depth in "${unwind_depths[@]}"; do unwind_row "plain-$depth" "$depth frames"; done
  for depth in "${unwind_depths[@]}"; do unwind_row "pointers-$depth" "$depth frames, frame pointers"; done
}

declare -A unwind_labels=([python]=python3 [redis]=redis-server [nginx]=nginx [git]='git log, repack, fsck' [perl]=perl
  [rust]='ripgrep (Rust)' [clang]='clang++ -O2 (iostream, map, regex)')

unwind_figures() {
  local name depth
  echo
  for name in python redis nginx git perl rust; do
    figure_at_least "complete stacks of ${unwind_labels[$name]}" "$(best "$name" complete)" '%' 99.9
  done
  figure_at_least 'complete stacks of clang++' "$(best clang complete)" '%' 99.4
  figure 'median walk, 7 frames' "$(best plain-7 walk_median)" ns 300
  figure 'median walk, 18 frames' "$(best plain-18 walk_median)" ns 560
  figure "median walk, python3 ($(best python frames) frames on average)" "$(best python walk_median)" ns 560
  figure 'median walk, 41 frames' "$(best plain-41 walk_median)" ns 1400
  figure "median walk, clang++ ($(best clang frames) frames on average)" "$(best clang walk_median)" ns 1400
  figure 'median walk, 100 frames' "$(best plain-100 walk_median)" ns 1250
  for depth in 10 30 60 100; do
    figure "walk as a part of bpf_get_stackid, $depth frames with pointers" \
      "$(awk "BEGIN { printf \"%.2f\", $(best "pointers-$depth" walk_median) / $(best "pointers-$depth" kernel_median) }")" '' 1
  done
}

# ---- Tables, loading, names -------------------------------------------------------------------------------------------

unwind_costs() {
  local round clang
  clang=$(readlink -f "$toolchain/clang++")
  for ((round = 1; round <= rounds; round++)); do
    unwind_bench convert "$clang" >"$scratch/convert"
    value milliseconds "$scratch/convert" >>"$scratch/unwind-convert"
    unwind_bench load | awk '$1 == "milliseconds" { print $2 }' >>"$scratch/unwind-load"
    unwind_bench symbolize -- "$scratch/templates" 50 >"$scratch/names"
    value milliseconds "$scratch/names" >>"$scratch/unwind-names"
    value peak_mebibytes "$scratch/names" >>"$scratch/unwind-names-memory"
    unwind_bench symbolize -d -- "$scratch/stripped" 50 >"$scratch/names-without"
    value milliseconds "$scratch/names-without" >>"$scratch/unwind-names-without"
    value peak_mebibytes "$scratch/names-without" >>"$scratch/unwind-names-without-memory"
  done
  printf '\n%s rows of unwind tables for clang+LLVM; a report of 100 stacks with debug information: %s frames, %s of them inlined\n' \
    "$(value rows "$scratch/convert")" "$(value frames "$scratch/names")" "$(value inlined "$scratch/names")"
  figure 'unwind tables of clang+LLVM' "$(least <"$scratch/unwind-convert")" ms 200
  figure 'their size' "$(value mebibytes "$scratch/convert")" MiB 16
  figure "loading a trace's programs" "$(least <"$scratch/unwind-load")" ms 300
  figure 'naming a report of 100 stacks, with debug information' "$(least <"$scratch/unwind-names")" ms 1000
  figure 'naming a report of 100 stacks, without' "$(least <"$scratch/unwind-names-without")" ms 200
  printf 'memory that naming takes at most: %s MiB with debug information, %s MiB without\n' \
    "$(least <"$scratch/unwind-names-memory")" "$(least <"$scratch/unwind-names-without-memory")"
}

bench_unwind() {
  local round name depth toolchain
  toolchain=$(dirname "$(readlink -f "$(command -v swift)")")
  install_missing "${unwind_packages[@]}"
  gcc -O2 -fomit-frame-pointer -o "$scratch/plain" Tests/Programs/unwind/depths.c
  gcc -O2 -fno-omit-frame-pointer -o "$scratch/pointers" Tests/Programs/unwind/depths.c
  g++ -std=c++17 -O2 -g -o "$scratch/templates" Tests/Programs/code/templates.cpp
  strip -g -o "$scratch/stripped" "$scratch/templates"
  say "unwind: $rounds rounds of 7 programs and $((2 * ${#unwind_depths[@]})) synthetic stacks"
  for ((round = 1; round <= rounds; round++)); do
    for name in python redis nginx git perl rust clang; do "walk_$name"; done
    for depth in "${unwind_depths[@]}"; do
      walk_depth plain "$depth"
      walk_depth pointers "$depth"
    done
    printf '.' >&2
  done
  echo >&2
  unwind_table
  unwind_figures
  unwind_costs
}
