// Takes the terminal for a live view, and gives it back.
#pragma once

#include <stdbool.h>
#include <stddef.h>

#pragma clang assume_nonnull begin

// Prepares for cterminal_enter. It has to be called before the guardian is started, so that the guardian can give the
// terminal back if leaktrace dies while it has it. Returns 0 or −errno.
int cterminal_prepare(void);

// Takes the terminal: switches to the alternate screen, turns off echo and the cursor, and makes each key readable at
// once. Returns 0 or −errno.
int cterminal_enter(int descriptor);

// Restores the terminal to the state before. Does nothing when the terminal was not taken. May be called in any state,
// and from any process that shares the prepared memory.
void cterminal_leave(void);

// The number of columns and rows; 80 by 24 when the terminal does not tell.
void cterminal_size(int descriptor, int *columns, int *rows);

#pragma clang assume_nonnull end
