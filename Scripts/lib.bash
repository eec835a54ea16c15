# Helpers that the scripts share: source it after `set -euo pipefail` and after changing to the top of the repository.
# shellcheck shell=bash

# What building needs: headers and static archives of the libraries that are linked in.
build_packages=(
  libbpf-dev libelf-dev libdw-dev zlib1g-dev liblzma-dev libbz2-dev libiberty-dev libcapstone-dev
  gcc g++ libc6-dev
)

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
