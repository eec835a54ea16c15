#define _GNU_SOURCE
#include "CTerminal.h"

#include <errno.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <termios.h>
#include <unistd.h>

struct taken_terminal {
  struct termios before;
  int descriptor;
  atomic_int is_taken;
};

// This memory is shared with the guardian. Of all other memory the guardian has a copy of its own.
static struct taken_terminal *terminal;

int cterminal_prepare(void) {
  if (terminal)
    return 0;
  void *memory = mmap(NULL, sizeof(*terminal), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED)
    return -errno;
  terminal = memory;
  return 0;
}

static void write_all(int descriptor, const char *text) {
  size_t length = strlen(text);
  while (length > 0) {
    ssize_t count = write(descriptor, text, length);
    if (count < 0 && errno == EINTR)
      continue;
    if (count <= 0)
      return;
    text += count;
    length -= (size_t)count;
  }
}

int cterminal_enter(int descriptor) {
  if (!terminal)
    return -EINVAL;
  if (atomic_load(&terminal->is_taken))
    return 0;
  if (tcgetattr(descriptor, &terminal->before))
    return -errno;
  terminal->descriptor = descriptor;
  struct termios raw = terminal->before;
  // The keyboard still sends signals, because Ctrl-C ends leaktrace with its last report.
  raw.c_lflag &= (tcflag_t) ~(ECHO | ICANON);
  raw.c_cc[VMIN] = 0;
  raw.c_cc[VTIME] = 0;
  atomic_store(&terminal->is_taken, 1);
  if (tcsetattr(descriptor, TCSANOW, &raw)) {
    atomic_store(&terminal->is_taken, 0);
    return -errno;
  }
  write_all(descriptor, "\033[?1049h\033[?25l\033[2J");
  return 0;
}

void cterminal_leave(void) {
  if (!terminal || !atomic_exchange(&terminal->is_taken, 0))
    return;
  write_all(terminal->descriptor, "\033[0m\033[?25h\033[?1049l");
  tcsetattr(terminal->descriptor, TCSANOW, &terminal->before);
}

void cterminal_size(int descriptor, int *columns, int *rows) {
  struct winsize size;
  bool is_known = ioctl(descriptor, TIOCGWINSZ, &size) == 0 && size.ws_col > 0 && size.ws_row > 0;
  *columns = is_known ? size.ws_col : 80;
  *rows = is_known ? size.ws_row : 24;
}
