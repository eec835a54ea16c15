// What the programs for the stack walker share.
#pragma once

#ifdef __cplusplus
extern "C" {
#endif

// The probed function.
__attribute__((noinline, used)) void checkpoint(void) { __asm__ volatile("" ::: "memory"); }

#ifdef __cplusplus
}
#endif

// Keeps a call from being the last thing that a function does.
#define AFTER_CALL() __asm__ volatile("" ::: "memory")
