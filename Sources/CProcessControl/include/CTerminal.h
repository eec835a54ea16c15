// The terminal while a live view owns it.
#pragma once

#include <stdbool.h>
#include <stddef.h>

#pragma clang assume_nonnull begin

// Prepares for cterminal_enter. Call before the guardian is started, which then gives the terminal back should leaktrace
// die with it. 0 or −errno.
int cterminal_prepare(void);

// Takes the terminal: another screen, no echo, keys as they come, no cursor. 0 or −errno.
int cterminal_enter(int descriptor);

// Gives the terminal back as it was. Does nothing when it was not taken. Safe in any state and from any process that
// shares the preparation.
void cterminal_leave(void);

// Columns and rows; 80 by 24 when the terminal does not say.
void cterminal_size(int descriptor, int *columns, int *rows);

#pragma clang assume_nonnull end
