# Helpers that the scripts share: source it after `set -euo pipefail` and after changing to the top of the repository.
# shellcheck shell=bash disable=SC2034  # its variables are for who sources it

# What building needs: headers and static archives of the libraries that are linked in.
build_packages=(
  libbpf-dev libelf-dev libdw-dev zlib1g-dev libsqlite3-dev liblzma-dev libbz2-dev libiberty-dev libcapstone-dev
  gcc g++ libc6-dev binutils
)

# What Scripts/check asks.
check_packages=(shellcheck clang-format python3 systemd)

# What tests compare with or run on; those that miss theirs are skipped and say so.
test_packages=(
  xz-utils perl python3 python3-jsonschema libc6-dbg libjemalloc2 libtcmalloc-minimal4 libmimalloc2.0
  libjemalloc-dev libgoogle-perftools-dev
  musl-tools bpftool valgrind heaptrack google-perftools golang-1.19-go tmux git sqlite3 libxml2-utils ruby php-cli nodejs
  dwz ripgrep chromium prometheus
)

# What Scripts/test-kernels runs other kernels with.
kernel_test_packages=(qemu-system-x86 busybox-static cpio gcc-12 make bpftool xz-utils libc6-dbg)

say() { printf '\n== %s\n' "$*" >&2; }

fail() {
  printf '%s: %s\n' "$(basename "$0")" "$*" >&2
  exit 1
}

# Runs a command as root: as it is when we are root, else through sudo.
as_root() {
  if [ "$(id -u)" -eq 0 ]; then
    "$@"
  elif command -v sudo >/dev/null; then
    sudo -- "$@"
  else
    fail "'$1' needs root: run this as root, or install sudo"
  fi
}

is_installed() {
  [ "$(dpkg-query -W -f '${db:Status-Status}' "$1" 2>/dev/null)" = installed ]
}

apt_get() { as_root env DEBIAN_FRONTEND=noninteractive apt-get -qq -o Dpkg::Use-Pty=0 "$@" >/dev/null; }

# Whether apt knows of a version of every package named.
apt_knows() {
  local package
  for package; do
    [ -n "$(apt-cache show --no-all-versions "$package" 2>/dev/null)" ] || return 1
  done
}

# Installs those of the packages that are missing. The package lists are fetched only when they are missing or too old.
install_missing() {
  local package missing=()
  for package; do
    is_installed "$package" || missing+=("$package")
  done
  [ ${#missing[@]} -gt 0 ] || return 0
  say "installing ${missing[*]}"
  if apt_knows "${missing[@]}" && apt_get install -y --no-install-recommends "${missing[@]}" 2>/dev/null; then
    return 0
  fi
  apt_get update
  apt_get install -y --no-install-recommends "${missing[@]}"
}

require_swift() {
  command -v swift >/dev/null || fail "the Swift toolchain (6.2 or later) must be installed and on PATH"
}

# A directory that is removed when the script ends, whatever ends it.
make_scratch() {
  scratch=$(mktemp -d)
  trap 'clean_up' EXIT
  trap 'exit 130' INT
  trap 'exit 143' TERM HUP
}

# Processes to end with the script; a script can define its own `clean_up_more` too.
background=()
clean_up() {
  local process
  if declare -F clean_up_more >/dev/null; then clean_up_more || true; fi
  for process in "${background[@]}"; do kill "$process" 2>/dev/null || true; done
  rm -rf "$scratch"
}

# wait_until SECONDS COMMAND…: runs the command every 20 ms until it succeeds.
wait_until() {
  local deadline=$((SECONDS + $1))
  shift
  until "$@"; do
    [ "$SECONDS" -lt "$deadline" ] || return 1
    sleep 0.02
  done
}

# quietly COMMAND…: shows what the command prints only when it fails.
quietly() {
  local log
  log=$(mktemp)
  if ! "$@" >"$log" 2>&1; then
    cat "$log" >&2
    rm -f "$log"
    fail "'$*' failed"
  fi
  rm -f "$log"
}

# build_release [PRODUCT…]: builds the one binary that needs nothing of its host (or the products named, all in one
# directory), and sets $leaktrace to it. Quietly, because the linker warns of functions of the static C library that
# leaktrace never calls.
build_release() {
  build_release_product leaktrace
  leaktrace=$(swift build -c release --show-bin-path)/leaktrace
}

build_release_product() {
  quietly swift build -c release --product "$1" -Xswiftc -static-executable -Xlinker --gc-sections -Xlinker -s
}

# Starts the leaking example server and a client that keeps asking; sets $server to its process id.
start_session_server() {
  local port
  g++ -std=c++17 -O2 -g -pthread -ffile-prefix-map="$PWD"=. \
    -o "$scratch/session-server" examples/session-server/session_server.cpp
  "$scratch/session-server" >"$scratch/port" &
  server=$!
  background+=("$server")
  wait_until 10 test -s "$scratch/port" || fail "the example server does not start"
  port=$(cat "$scratch/port")
  ask_session_server "$port" &
  background+=("$!")
}

# About 200 requests a second over one connection, for at most five minutes.
ask_session_server() {
  local number path line paths=(/login /report /health /report)
  exec 9<>"/dev/tcp/127.0.0.1/$1"
  for ((number = 0; number < 60000; number++)); do
    path=${paths[number % 4]}
    printf 'GET %s HTTP/1.1\r\n\r\n' "$path" >&9 || return 0
    while read -r line <&9 && [ "$line" != $'\r' ]; do :; done
    read -r line <&9 || return 0
    sleep 0.005
  done
}
