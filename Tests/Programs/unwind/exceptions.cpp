// Stacks while exceptions are thrown, caught and passed on.
#include <stdexcept>
#include <string>

#include "phases.h"

#define FUNCTION __attribute__((noinline, noclone))

struct Witness {
  FUNCTION ~Witness() {
    checkpoint();
    AFTER_CALL();
  }
};

struct Thrown : std::runtime_error {
  FUNCTION Thrown() : std::runtime_error(std::string(100, 'x')) {
    checkpoint();
    AFTER_CALL();
  }
  Thrown(const Thrown &other) : std::runtime_error(other) {
    checkpoint();
    AFTER_CALL();
  }
};

FUNCTION static void thrower(int depth) {
  Witness witness;
  if (depth == 0)
    throw Thrown();
  thrower(depth - 1);
  AFTER_CALL();
}

FUNCTION static void caught() {
  try {
    thrower(3);
  } catch (const std::exception &) {
    checkpoint();
    AFTER_CALL();
  }
  checkpoint();
  AFTER_CALL();
}

FUNCTION static void rethrown() {
  try {
    try {
      thrower(2);
    } catch (...) {
      checkpoint();
      throw;
    }
  } catch (const Thrown &) {
    checkpoint();
  }
  AFTER_CALL();
}

// exceptions ROUNDS: does everything so often, without waiting to be asked.
int main(int count, char **arguments) {
  int rounds = count > 1 ? atoi(arguments[1]) : 0;
  for (int i = 0; i < rounds; i++) {
    caught();
    rethrown();
  }
  if (rounds)
    return 0;
  static void (*const phases[])() = {caught, rethrown};
  return run_phases(phases, 2);
}
