// gzip through zlib: what Swift needs of it, without its macros.
#pragma once

#include <stddef.h>
#include <stdint.h>

#pragma clang assume_nonnull begin

// The most bytes that gzip makes of `size` bytes.
size_t ccompression_gzip_bound(size_t size);

// Compresses into `out`, which has room for ccompression_gzip_bound(size). Returns the bytes written, or −ENOMEM.
int64_t ccompression_gzip(const uint8_t *bytes, size_t size, uint8_t *out, size_t capacity);

// Decompresses at most `limit` bytes. `*out` is malloc'ed and the caller's to free. Returns the bytes written, −EINVAL when
// it is no whole gzip stream, −EFBIG when it is longer than `limit`, or −ENOMEM.
int64_t ccompression_gunzip(const uint8_t *bytes, size_t size, size_t limit, uint8_t *_Nullable *_Nonnull out);

#pragma clang assume_nonnull end
