#include "CCompression.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <zlib.h>

enum { GZIP_WINDOW = 15 + 16 };

size_t ccompression_gzip_bound(size_t size) { return compressBound(size) + 32; }

int64_t ccompression_gzip(const uint8_t *bytes, size_t size, uint8_t *out, size_t capacity) {
  z_stream stream = {0};
  // The fastest level: recordings are written while a target is being watched.
  if (deflateInit2(&stream, Z_BEST_SPEED, Z_DEFLATED, GZIP_WINDOW, 8, Z_DEFAULT_STRATEGY) != Z_OK)
    return -ENOMEM;
  size_t read = 0, written = 0;
  int result = Z_OK;
  while (result == Z_OK) {
    size_t rest = size - read, room = capacity - written;
    stream.next_in = (uint8_t *)bytes + read;
    stream.avail_in = rest > UINT_MAX ? UINT_MAX : (uInt)rest;
    stream.next_out = out + written;
    stream.avail_out = room > UINT_MAX ? UINT_MAX : (uInt)room;
    uInt given = stream.avail_in, offered = stream.avail_out;
    result = deflate(&stream, rest == given ? Z_FINISH : Z_NO_FLUSH);
    read += given - stream.avail_in;
    written += offered - stream.avail_out;
  }
  deflateEnd(&stream);
  return result == Z_STREAM_END ? (int64_t)written : -ENOMEM;
}

int64_t ccompression_gunzip(const uint8_t *bytes, size_t size, size_t limit, uint8_t **out) {
  *out = NULL;
  z_stream stream = {0};
  if (inflateInit2(&stream, GZIP_WINDOW) != Z_OK)
    return -ENOMEM;
  size_t capacity = size < 4096 ? 16384 : size * 4, read = 0, written = 0;
  if (capacity > limit)
    capacity = limit;
  uint8_t *buffer = malloc(capacity ? capacity : 1);
  int64_t error = buffer ? 0 : -ENOMEM;
  while (!error) {
    size_t rest = size - read, room = capacity - written;
    stream.next_in = (uint8_t *)bytes + read;
    stream.avail_in = rest > UINT_MAX ? UINT_MAX : (uInt)rest;
    stream.next_out = buffer + written;
    stream.avail_out = room > UINT_MAX ? UINT_MAX : (uInt)room;
    uInt given = stream.avail_in, offered = stream.avail_out;
    int result = inflate(&stream, Z_NO_FLUSH);
    read += given - stream.avail_in;
    written += offered - stream.avail_out;
    if (result == Z_STREAM_END) {
      // Another member follows where somebody has put several documents into one file: the last one counts.
      if (size - read < 18 || bytes[read] != 0x1f || bytes[read + 1] != 0x8b || inflateReset(&stream) != Z_OK)
        break;
      written = 0;
      continue;
    }
    if (result != Z_OK && result != Z_BUF_ERROR) {
      error = -EINVAL;
    } else if (written == capacity) {
      if (capacity >= limit) {
        error = -EFBIG;
        break;
      }
      size_t grown = capacity > limit / 2 ? limit : capacity * 2;
      uint8_t *larger = realloc(buffer, grown);
      if (larger)
        buffer = larger, capacity = grown;
      else
        error = -ENOMEM;
    } else if (given == stream.avail_in && offered == stream.avail_out) {
      error = -EINVAL;  // cut short
    }
  }
  inflateEnd(&stream);
  if (error) {
    free(buffer);
    return error;
  }
  *out = buffer;
  return (int64_t)written;
}
