// Names of symbols, for the demanglers of C++, Rust and Swift.
#include <CElfUtils.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  // The first two bytes say how much room the result has.
  if (size < 2)
    return 0;
  size_t capacity = data[0] | (size_t)data[1] << 8;
  data += 2;
  size -= 2;
  char *name = malloc(size + 1);
  // Of the exact size, so that one byte too many is seen.
  char *buffer = malloc(capacity ? capacity : 1);
  memcpy(name, data, size);
  name[size] = 0;
  size_t length = celf_demangle(name, buffer, capacity);
  if (length > capacity)
    abort();
  length = celf_demangle_swift(name, strlen(name), buffer, capacity);
  (void)length;
  free(buffer);
  free(name);
  return 0;
}
