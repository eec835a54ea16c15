// Traces a process as a debugger does, until its standard input ends: tracer PID.
#include <stdio.h>
#include <sys/ptrace.h>

#include "steps.h"

int main(int argument_count, char **arguments) {
  require(argument_count == 2, 2);
  require(ptrace(PTRACE_SEIZE, atoi(arguments[1]), NULL, NULL) == 0, 3);
  say("tracing\n");
  char byte;
  return read(0, &byte, 1) == 1;
}
