#ifndef SFTDATA_JSON_LISTS_H
#define SFTDATA_JSON_LISTS_H

#include "columns.h"
#include "json_text.h"

typedef struct {
    const uint8_t *text;
    int64_t length;
} Name;

/* What a source calls a role, and what we call it, in at most `SHORT` bytes; NULL: such a turn is left to others. */
typedef struct {
    Name theirs, ours;
} Role;

/* What turns call their parts and their roles. */
typedef struct {
    Name role, content;
    const Role *roles;
    int64_t role_count;
} Turns;

/* Put what begins at the cursor into a row; false where it is not what the column takes, or that is not certain. */
bool put_string(Cursor *cursor, Column *column, int64_t row);
bool put_texts(Cursor *cursor, Column *column, int64_t row);
bool put_turns(Cursor *cursor, const Turns *turns, Column *column, int64_t row);

static inline bool is_name(Name name, const uint8_t *text, int64_t length) {
    return name.length == length && !memcmp(name.text, text, (size_t)length);
}

#endif
