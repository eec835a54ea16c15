// Demanglers for names that may be hostile: see include/CElfUtils.h.
#include "CElfUtils.h"

#include <libiberty/demangle.h>
#include <setjmp.h>
#include <stdlib.h>
#include <string.h>

struct celf_output {
  char *buffer;
  size_t capacity;
  size_t length;
  jmp_buf overflow;
};

// The demanglers know no limit of output and a name of 200 bytes can mean gigabytes. They print through this callback and
// keep everything on the stack meanwhile, so jumping out leaves nothing behind.
static void celf_append(const char *text, size_t length, void *opaque) {
  struct celf_output *output = opaque;
  if (length > output->capacity - output->length)
    longjmp(output->overflow, 1);
  // An empty piece may come without an address.
  if (length == 0)
    return;
  memcpy(output->buffer + output->length, text, length);
  output->length += length;
}

size_t celf_demangle(const char *mangled, char *buffer, size_t capacity) {
  if (mangled[0] != '_')
    return 0;
  struct celf_output output = {.buffer = buffer, .capacity = capacity, .length = 0};
  if (setjmp(output.overflow) != 0)
    return 0;
  // Rust first: its legacy form is also a valid C++ name, with a hash for a last part. It is recognised by that hash.
  if (rust_demangle_callback(mangled, DMGL_PARAMS | DMGL_ANSI, celf_append, &output))
    return output.length;
  output.length = 0;
  // The recursion limit is switched off because it refuses names longer than 1,024 bytes, which templates exceed; the caller
  // bounds the length instead.
  int options = DMGL_PARAMS | DMGL_ANSI | DMGL_NO_RECURSE_LIMIT;
  if (cplus_demangle_v3_callback(mangled, options, celf_append, &output))
    return output.length;
  return 0;
}

// From the Swift runtime, which declares it in no header.
extern char *_Nullable swift_demangle(const char *_Nonnull mangled, size_t mangled_length, char *_Nullable output,
                                      size_t *_Nullable output_size, uint32_t flags);

size_t celf_demangle_swift(const char *mangled, size_t length, char *buffer, size_t capacity) {
  char *text = swift_demangle(mangled, length, NULL, NULL, 0);
  if (text == NULL)
    return 0;
  size_t text_length = strlen(text);
  if (text_length > capacity) {
    free(text);
    return 0;
  }
  memcpy(buffer, text, text_length);
  free(text);
  return text_length;
}
