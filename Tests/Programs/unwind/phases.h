// A program under test runs one phase for each line that it reads, answers "done", and ends with its input.
#pragma once

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

#include "checkpoint.h"

static int run_phases(void (*const *phases)(void), int count) {
  char line[64];
  sigset_t none;
  // Whoever started the program may block signals.
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, NULL);
  for (int i = 0; i < count && fgets(line, sizeof(line), stdin); i++) {
    phases[i]();
    puts("done");
    fflush(stdout);
  }
  while (fgets(line, sizeof(line), stdin)) {
  }
  return 0;
}
