// SQLite, and what of it Swift cannot import: macros that are casts.
#pragma once

#include <sqlite3.h>

#pragma clang assume_nonnull begin

// Bind copies of the bytes. SQLite's result code.
int csqlite_bind_text(sqlite3_stmt *statement, int place, const char *text, int size);
int csqlite_bind_blob(sqlite3_stmt *statement, int place, const void *_Nullable bytes, int size);

#pragma clang assume_nonnull end
