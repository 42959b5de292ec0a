/* The scalars of JSON (RFC 8259): strict, and nothing is read behind what there is. */
#ifndef SFTDATA_JSON_TEXT_H
#define SFTDATA_JSON_TEXT_H

#include <stdbool.h>
#include <stdint.h>

/* Where a record is read: it stops at `end`; up to `limit` there are bytes that may be looked at. */
typedef struct {
    const uint8_t *at, *end, *limit;
} Cursor;

/* What stands between two quotes; `escaped`: there are escapes in it. */
typedef struct {
    const uint8_t *text;
    int64_t length;
    bool escaped;
} Text;

/* A number as it is written, which is `digits` times ten to the power of `exponent`. */
typedef struct {
    const uint8_t *text;
    int64_t length, exponent;
    uint64_t digits;
    int64_t significant; /* how many digits there are from the first that is not 0; `digits` holds 19 */
    bool negative, whole;
} Number;

/* Return the byte at hand; 0, which means nothing in JSON, where there is none. */
static inline uint8_t peek(const Cursor *cursor) {
    return cursor->at < cursor->end ? *cursor->at : 0;
}

static inline uint8_t peek_behind_space(Cursor *cursor) {
    uint8_t byte = peek(cursor);
    while (byte == ' ' || byte == '\t' || byte == '\n' || byte == '\r') {
        cursor->at++;
        byte = peek(cursor);
    }
    return byte;
}

/* Each of these passes what begins at the cursor, and returns false where it is not valid JSON. */
bool pass_text(Cursor *cursor, Text *text);
bool pass_number(Cursor *cursor, Number *number);
bool pass_word(Cursor *cursor, const char *word);

/* Pass a value of any kind, without a recursion; false also where it is nested deeper than 64 levels. */
bool pass_value(Cursor *cursor);

/* Write a text with escapes as UTF-8, which is never longer; return its length, -1 where UTF-8 cannot hold it. */
int64_t decode_text(const Text *text, uint8_t *to);

/* Return whether the value is known exactly, a float correctly rounded. */
bool read_int(const Number *number, int64_t *value);
bool read_float(const Number *number, double *value);

#endif
