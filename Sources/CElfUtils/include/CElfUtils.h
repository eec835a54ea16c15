// CElfUtils: ELF and DWARF as C sees them, for Swift.
//
// <elf.h> gives the structures, libelf and libdw (elfutils) the DWARF readers, libiberty and the C++ runtime the
// demanglers. What Swift cannot import (variadics, macros, signal handlers) has a small function here.
// Every function returns 0 or -errno unless its comment says otherwise.
#pragma once

#include <dwarf.h>
#include <elf.h>
#include <elfutils/libdw.h>
#include <elfutils/libdwelf.h>
#include <libelf.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/// Maps `size` bytes of a file read-only, followed by at least one zero byte. The mapping survives truncation of the file
/// by somebody else: bytes that are gone read as 0 instead of raising SIGBUS. Release with `celf_unmap`.
int celf_map_file(int descriptor, size_t size, const void *_Nullable *_Nonnull out);

/// Copies `size` bytes into memory of the same shape as `celf_map_file` gives: read-only, followed by a zero byte.
int celf_map_copy(const void *_Nonnull source, size_t size, const void *_Nullable *_Nonnull out);

/// Releases what `celf_map_file` or `celf_map_copy` gave; `size` as it was asked for.
void celf_unmap(const void *_Nonnull base, size_t size);

/// Tells the kernel that the resident pages of a mapping are not needed now; they are read again on the next touch.
/// Only for `celf_map_file` mappings (the content of a copy would be lost).
void celf_release_pages(const void *_Nonnull base, size_t size);

/// Makes the pages around a part of a mapping writable for this process alone; the file stays as it is.
int celf_make_writable(const void *_Nonnull start, size_t size);

/// Opens `path` for reading as if the directory `root` were the root directory: neither `..` nor symbolic links
/// lead out of it, and without `follows_links` a path with a symbolic link leads nowhere. Opens nothing but regular files and
/// never blocks on a FIFO. Gives a close-on-exec descriptor.
int celf_open_in_root(const char *_Nonnull root, const char *_Nonnull path, bool follows_links, int *_Nonnull out);

/// Gives memory that has been freed back to the system.
void celf_return_freed_memory(void);

/// Copies memory of another process. Returns the number of bytes copied, which is smaller than `size` when an unreadable
/// page comes in between, or -errno.
long celf_read_process(int process, uint64_t address, void *_Nonnull destination, size_t size);

/// Demangles a C++ (Itanium) or Rust (legacy or v0) name into `buffer`. Returns the length of the result, or 0 when the name is
/// of neither form or its plain form does not fit: hostile names can expand without bound, so the work stops there.
size_t celf_demangle(const char *_Nonnull mangled, char *_Nonnull buffer, size_t capacity);

/// Demangles a Swift name into `buffer`; the same contract as `celf_demangle`.
size_t celf_demangle_swift(const char *_Nonnull mangled, size_t length, char *_Nonnull buffer, size_t capacity);

/// Unpacks an .xz stream into memory, which the caller releases with `free`. -E2BIG when the result would exceed `limit`
/// bytes, -EILSEQ when the stream is damaged.
int celf_decompress_xz(const void *_Nonnull source, size_t size, size_t limit, void *_Nullable *_Nonnull out,
                       size_t *_Nonnull out_size);

/// Unpacks a zlib stream whose plain size is known into memory, which the caller releases with `free`. -EILSEQ when the stream
/// is damaged or has another size.
int celf_decompress_zlib(const void *_Nonnull source, size_t size, size_t plain_size, void *_Nullable *_Nonnull out);

/// The CRC-32 that `.gnu_debuglink` stores.
uint32_t celf_checksum(const void *_Nonnull source, size_t size);
