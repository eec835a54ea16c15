// Compressed sections of object files (xz, zlib) and compressed recordings (gzip).
#include <CCompression.h>
#include <CElfUtils.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  if (size < 3)
    return 0;
  // The size that the input claims to unpack to, or may unpack to at most.
  size_t limit = data[1] | (size_t)data[2] << 8;
  uint8_t kind = data[0] % 3;
  size -= 3;
  uint8_t *input = malloc(size ? size : 1);
  memcpy(input, data + 3, size);
  void *out = NULL;
  if (kind == 0) {
    size_t length = 0;
    if (celf_decompress_xz(input, size, limit, &out, &length) == 0 && length > limit)
      abort();
  } else if (kind == 1) {
    (void)celf_decompress_zlib(input, size, limit, &out);
  } else {
    uint8_t *plain = NULL;
    int64_t length = ccompression_gunzip(input, size, limit, &plain);
    if (length > (int64_t)limit)
      abort();
    out = plain;
  }
  free(out);
  free(input);
  return 0;
}
