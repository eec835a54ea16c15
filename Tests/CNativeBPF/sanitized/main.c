// The threads of native_threads.c as a program, to be compiled with -fsanitize=thread: ThreadSanitizer must be there when
// a process begins. Prints what came out.
#include <stdio.h>

#include "native_bpf.h"

int main(void) {
  struct native_thread_run run = native_run_threads(8, 2000, 4096, 16000, true);
  printf("inserted=%lu refused=%lu taken=%lu left=%lu lost=%lu doubled=%lu wrong=%lu busy=%lu\n", run.inserted,
         run.refused, run.taken, run.left, run.lost, run.doubled, run.wrong_payloads, run.busy_places);
  uint64_t entered, called_new;
  native_run_site_threads(8, 500, &entered, &called_new);
  printf("sites=%lu new=%lu\n", entered, called_new);
  return 0;
}
