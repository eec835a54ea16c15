# A kernel of Debian's in a virtual machine: fetching it, building the test module for it, and running tests there.
# shellcheck shell=bash disable=SC2154,SC2034  # variables pass between this file and what sources it

# Suites that run in a machine. Every one must run there, and KernelModuleTests only does where the module is loaded.
machine_suites=(KernelModuleTests HeapFunctionsTests OperatorsTests MappingsTests NoRowsTests ThrowingAllocatorsTests)
# Programs of Tests/Programs that these suites run, and the options that they ask for.
machine_programs=(
  'heap.c -fno-builtin' 'operators.cpp -fno-builtin' 'mappings.c -fno-builtin' 'throwing.cpp -fno-builtin -O1'
  'throwing.cpp -fno-builtin -O1 -l:libjemalloc.so.2' 'throwing.cpp -fno-builtin -O1 -l:libtcmalloc_minimal.so.4'
  'unwind/no_rows.c -fno-builtin -rdynamic -O1' 'unwind/no_rows.c -fno-builtin -rdynamic -O1 -fcf-protection=full'
  'unwind/no_rows.c -fno-builtin -rdynamic -O0' 'unwind/no_rows.c -fno-builtin -rdynamic -O1 -no-pie'
)

# fetch_kernel VERSION: downloads and unpacks the newest kernel of this version, with what modules are built with. Sets
# $release to its name and $kernel to the directory. Says why when it cannot be had.
fetch_kernel() {
  local packages
  newest_release "$1" || { apt_get update 2>/dev/null || true; }
  if ! newest_release "$1"; then
    say "Linux $1 is NOT TESTED: apt knows of no package linux-image-$1…-cloud-amd64"
    return 1
  fi
  kernel=$PWD/.build/kernels/$release
  [ ! -e "$kernel/complete" ] || return 0
  say "fetching Linux $release"
  rm -rf "$kernel"
  mkdir -p "$kernel/packages"
  read -ra packages < <(packages_of "$1")
  if ! (cd "$kernel/packages" && apt-get -qq download "${packages[@]}" 2>"$scratch/apt.err"); then
    say "Linux $release is NOT TESTED: apt cannot fetch its packages: $(grep -m 1 '^E:' "$scratch/apt.err")"
    return 1
  fi
  local package
  for package in "$kernel"/packages/*.deb; do dpkg-deb -x "$package" "$kernel/root"; done
  # Made to be installed, they name each other by absolute paths.
  sed -i "s|/usr/src/|$kernel/root/usr/src/|" "$kernel/root/usr/src/linux-headers-$release/Makefile"
  rm -rf "$kernel/packages"
  touch "$kernel/complete"
}

# Sets $release to the newest that apt can fetch.
newest_release() {
  release=$(apt-cache pkgnames "linux-image-$1." | sed -n 's/^linux-image-\([0-9.]*[-+][a-z0-9]*-cloud-amd64\)$/\1/p' \
    | sort -V | tail -1)
  [ -n "$release" ]
}

packages_of() {
  local common=${release%-cloud-amd64}
  # The tools are built once per version, or once per release.
  local kbuild=linux-kbuild-$common
  apt_knows "$kbuild" || kbuild=linux-kbuild-$1
  echo "linux-image-$release linux-headers-$release linux-headers-$common-common $kbuild"
}

# Sets $module to the test module, built for $release.
build_module() {
  rm -rf "$scratch/module"
  cp -r Tests/Kernels/module "$scratch/module"
  module=$scratch/module/leaktrace_test.ko
  # Debian's kernels take modules without type information.
  quietly make -C "$kernel/root/usr/src/linux-headers-$release" M="$scratch/module" CONFIG_DEBUG_INFO_BTF_MODULES= modules
}

# add_file FILE [PATH]: puts a file of this host into the machine's root, and the libraries that it needs.
add_file() {
  mkdir -p "$root$(dirname "${2:-$1}")"
  cp -L "$1" "$root${2:-$1}"
  add_libraries "$1"
}

add_libraries() {
  local library
  for library in $(ldd "$1" 2>/dev/null | grep -o '/[^ ):]*\.so[^ ):]*'); do
    [ -e "$root$library" ] || add_file "$library"
  done
}

# add_symbols FILE: what Debian has in a package of its own of a file's debug information, where it is installed.
add_symbols() {
  local id
  id=$(readelf -n "$1" | sed -n 's/.*Build ID: //p')
  add_file "/usr/lib/debug/.build-id/${id:0:2}/${id:2}.debug"
}

# The file system of the machine: a shell, leaktrace, the tests, and programs for them to run.
make_root() {
  local program name
  root=$scratch/root
  rm -rf "$root"
  mkdir -p "$root"/{bin,dev,proc,sys,tmp,run,etc,programs}
  cp /bin/busybox "$root/bin/"
  cp "$leaktrace" "$root/bin/leaktrace"
  cp "$module" "$root/"
  add_file "$bundle" /tests
  strip --strip-debug "$root/tests"
  add_file "$(command -v bpftool || echo /usr/sbin/bpftool)" /bin/bpftool
  add_symbols /lib64/ld-linux-x86-64.so.2
  for program in "${machine_programs[@]}"; do
    read -ra words <<<"$program"
    name=${program// /_}
    mkdir -p "$root/programs/$(dirname "$name")"
    "$(compiler_of "${words[0]}")" -O2 -g -Wall -o "$root/programs/$name" "Tests/Programs/${words[0]}" "${words[@]:1}" -pthread -ldl
    add_libraries "$root/programs/$name"
  done
  (IFS='|' && echo "${LEAKTRACE_VM_FILTER:-${machine_suites[*]}}" >"$root/filter")
  cp Tests/Kernels/init "$root/init"
  chmod +x "$root/init"
  (cd "$root" && find . | cpio --quiet -o -H newc -R 0:0 >"$scratch/root.cpio")
}

compiler_of() { if [[ $1 == *.cpp ]]; then echo g++; else echo gcc; fi; }

# Boots, runs the tests and shows those that failed. Sets $seconds to what it took.
run_machine() {
  local start=$SECONDS
  log=$scratch/console
  say "Linux $release: running the tests in a virtual machine"
  timeout --kill-after=5 "${LEAKTRACE_VM_LIMIT:-300}" qemu-system-x86_64 -accel tcg,thread=multi -cpu max \
    -smp 2 -m 1536 -nographic -no-reboot -kernel "$kernel/root/boot/vmlinuz-$release" -initrd "$scratch/root.cpio" \
    -append 'console=ttyS0 quiet panic=-1' </dev/null 2>&1 | tr -d '\r' >"$log" || true
  seconds=$((SECONDS - start))
  [ -z "${LEAKTRACE_VM_LOG:-}" ] || cp "$log" "$LEAKTRACE_VM_LOG"
  if [[ $(verdict) == 'all tests passed' ]]; then return 0; fi
  grep -E '✘|↳|Oops|BUG:|panic|WARNING|init:' "$log" | cut -c 1-600 | head -60 >&2 || true
  return 1
}

test_count() { sed -n 's/.*Test run with \([0-9]*\) tests.*/\1/p' "$log" | tail -1; }

# What became of the tests, in a few words.
verdict() {
  local suite status
  status=$(sed -n 's/^init: tests ended with \([0-9]*\)$/\1/p' "$log")
  if [ -z "$status" ]; then
    echo "the machine did not come to the end of the tests within ${LEAKTRACE_VM_LIMIT:-300} seconds"
  elif [ "$status" -ne 0 ]; then
    echo "$(grep -c '✘ Test .* failed' "$log") tests failed"
  elif [ -z "${LEAKTRACE_VM_FILTER:-}" ]; then
    # A suite that was left out has not passed.
    for suite in "${machine_suites[@]}"; do
      if ! grep -q "Suite $suite passed" "$log"; then
        echo "the suite $suite did not run"
        return
      fi
    done
    echo 'all tests passed'
  else
    echo 'all tests passed'
  fi
}
