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

/// Makes a private copy of `size` bytes of a file, read-only and followed by at least one zero byte. The copy never changes
/// again, whatever is done to the file: each page is read once, when it is first touched (`is_lazy`, which needs
/// userfaultfd(2)), or all at once. Bytes that the file does not have any more are 0. The descriptor stays the caller's and
/// must stay open as long as a lazy copy exists. −EFBIG when the file is to be copied at once and does not fit into the limit.
/// `slot` is the number by which the functions below know the copy; release it with `celf_free_copy`.
int celf_copy_file(int descriptor, size_t size, _Bool is_lazy, const void *_Nullable *_Nonnull out, int *_Nonnull slot);

/// Copies `size` bytes into memory of the same shape as `celf_copy_file` gives: read-only, followed by a zero byte.
int celf_copy_memory(const void *_Nonnull source, size_t size, const void *_Nullable *_Nonnull out);

/// Releases what `celf_copy_file` or `celf_copy_memory` gave, which has slot −1; `size` as it was asked for.
void celf_free_copy(const void *_Nonnull base, size_t size, int slot);

/// Forgets the pages of a lazy copy: they are read anew on the next touch, and can be other ones then. Does nothing to
/// other copies.
void celf_release_pages(int slot);

/// Bytes of a copy of a file that are in memory.
size_t celf_resident_size(int slot);

/// Whether zeros were put in place of some of the file's bytes, because the copies have reached their limit.
_Bool celf_is_incomplete(int slot);

/// Whether copies are filled page by page here.
_Bool celf_copies_are_lazy(void);

/// Bytes of all copies of files that are in memory.
size_t celf_copied_size(void);

/// How many bytes of all copies of files are in memory at most: half of what this process may use, between 32 MiB and 1 GiB.
size_t celf_copies_limit(void);

/// Sets that limit.
void celf_limit_copies(size_t size);

/// Makes the pages around a part of a copy writable.
int celf_make_writable(const void *_Nonnull start, size_t size);

/// Opens `path` for reading as if the directory `root` were the root directory: neither `..` nor symbolic links
/// lead out of it, and without `follows_links` a path with a symbolic link leads nowhere. Opens nothing but regular files and
/// never blocks on a FIFO. Gives a close-on-exec descriptor.
int celf_open_in_root(const char *_Nonnull root, const char *_Nonnull path, bool follows_links, int *_Nonnull out);

/// Opens for reading what one of the kernel's own links (under /proc) leads to, under the same conditions.
int celf_open_link(const char *_Nonnull link, int *_Nonnull out);

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

/// The first place of `wanted` in `bytes`, or -1.
ptrdiff_t celf_find(const void *_Nonnull bytes, size_t size, const void *_Nonnull wanted, size_t wanted_size);

/// The CRC-32 that `.gnu_debuglink` stores.
uint32_t celf_checksum(const void *_Nonnull source, size_t size);
