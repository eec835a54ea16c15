// Decompression and checksums: see include/CElfUtils.h.
#include "CElfUtils.h"

#include <errno.h>
#include <lzma.h>
#include <stdlib.h>
#include <zlib.h>

/// More than any preset of xz needs to unpack.
static const uint64_t celf_decoder_memory = 128u << 20;

int celf_decompress_xz(const void *source, size_t size, size_t limit, void **out, size_t *out_size) {
  *out = NULL;
  *out_size = 0;
  lzma_stream stream = LZMA_STREAM_INIT;
  if (lzma_stream_decoder(&stream, celf_decoder_memory, 0) != LZMA_OK)
    return -ENOMEM;
  size_t capacity = size < limit / 4 ? size * 4 + 4096 : limit;
  if (capacity > limit)
    capacity = limit;
  unsigned char *buffer = malloc(capacity ? capacity : 1);
  int result = buffer ? 0 : -ENOMEM;
  stream.next_in = source;
  stream.avail_in = size;
  stream.next_out = buffer;
  stream.avail_out = capacity;
  while (result == 0) {
    lzma_ret code = lzma_code(&stream, LZMA_FINISH);
    if (code == LZMA_STREAM_END)
      break;
    if (code == LZMA_MEM_ERROR || code == LZMA_MEMLIMIT_ERROR) {
      result = -ENOMEM;
    } else if ((code == LZMA_OK || code == LZMA_BUF_ERROR) && stream.avail_out == 0) {
      if (capacity >= limit) {
        result = -E2BIG;
        break;
      }
      size_t used = capacity;
      capacity = capacity > limit / 2 ? limit : capacity * 2;
      unsigned char *larger = realloc(buffer, capacity);
      if (larger == NULL) {
        result = -ENOMEM;
        break;
      }
      buffer = larger;
      stream.next_out = buffer + used;
      stream.avail_out = capacity - used;
    } else if (code != LZMA_OK) {
      result = -EILSEQ;
    }
  }
  if (result == 0) {
    *out = buffer;
    *out_size = capacity - stream.avail_out;
  } else {
    free(buffer);
  }
  lzma_end(&stream);
  return result;
}

int celf_decompress_zlib(const void *source, size_t size, size_t plain_size, void **out) {
  *out = NULL;
  unsigned char *buffer = malloc(plain_size ? plain_size : 1);
  if (buffer == NULL)
    return -ENOMEM;
  uLongf unpacked = plain_size;
  if (uncompress(buffer, &unpacked, source, size) != Z_OK || unpacked != plain_size) {
    free(buffer);
    return -EILSEQ;
  }
  *out = buffer;
  return 0;
}

uint32_t celf_checksum(const void *source, size_t size) { return (uint32_t)crc32_z(0, source, size); }
