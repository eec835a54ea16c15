// Threads that allocate, and one that starts children for ever: `fork` ones that allocate and end, or `vfork` ones that run
// /bin/true. Ends with whoever started it.
#define _GNU_SOURCE
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

static void *allocate(void *unused) {
  void *volatile block;
  (void)unused;
  for (;;) {
    block = malloc(100);
    free(block);
    usleep(100);
  }
}

int main(int count, char **arguments) {
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  int shares_memory = count > 1 && strcmp(arguments[1], "vfork") == 0;
  for (int i = 0; i < 4; i++) {
    pthread_t thread;
    if (pthread_create(&thread, NULL, allocate, NULL))
      return 1;
  }
  for (;;) {
    pid_t child = shares_memory ? vfork() : fork();
    if (child == 0) {
      if (shares_memory) {
        execl("/bin/true", "true", (char *)NULL);
        _exit(1);
      }
      void *volatile block = malloc(10);
      (void)block;
      _exit(0);
    }
    if (child > 0)
      waitpid(child, NULL, 0);
    usleep(2000);
  }
}
