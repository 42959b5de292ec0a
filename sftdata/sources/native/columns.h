/* Columns that are built value by value, and handed over as Arrow data without a copy.
 *
 * https://arrow.apache.org/docs/format/CDataInterface.html
 * https://arrow.apache.org/docs/format/CDataInterface/PyCapsuleInterface.html
 */
#ifndef SFTDATA_COLUMNS_H
#define SFTDATA_COLUMNS_H

#define Py_LIMITED_API 0x030B0000
#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

/* TEXTS are lists of text, CHATS lists of turns: a TURN is a struct as `records.TURN` has it. */
typedef enum { TEXT, INT, FLOAT, BOOL, TEXTS, CHATS, TURN } Kind;

/* What Arrow calls a view of a text: its length, and the text itself or where it stands. */
typedef struct {
    int32_t length;
    union {
        uint8_t text[12];
        struct {
            uint8_t prefix[4];
            int32_t buffer, offset;
        } place;
    };
} View;

#define SHORT 12 /* bytes that stand in a view itself */

typedef struct Column {
    Kind kind;
    bool blank;   /* of nothing but nulls, without memory until it is handed over */
    int64_t room; /* for how many values there is memory */
    union {
        View *views;      /* TEXT */
        int64_t *ints;    /* INT */
        double *floats;   /* FLOAT */
        uint8_t *bits;    /* BOOL */
        int64_t *offsets; /* TEXTS, CHATS: where each list begins in `inner`, and where the last ends */
        void *values;
    };
    uint8_t *valid; /* a bit a value: not null */
    uint8_t *text;  /* TEXT: the bytes of those that are not short */
    int64_t used, text_room, text_most; /* bytes of `text`, for how many there is memory, and how many there may be */
    bool lost;      /* there was no memory for a text */
    struct Column *inner; /* TEXTS: the text, CHATS: the turns, TURN: its four parts */
    int inner_count;
} Column;

/* Get memory for `room` values, and some of `bytes` bytes of text, of which there are at most 2^31 - 1; false where
 * there is none. */
bool column_open(Column *column, Kind kind, int64_t room, int64_t bytes);
void column_close(Column *column);

/* Get memory for one value more in the entries of a list; false where there is none. */
bool column_grow(Column *column);

/* Get memory for all text that there may be; where there is none, the column cannot be exported any more. */
bool text_grow(Column *column);

static inline bool is_list(Kind kind) {
    return kind == TEXTS || kind == CHATS;
}

static inline void set_bit(uint8_t *bits, int64_t at, bool on) {
    uint8_t bit = (uint8_t)(1u << (at & 7));
    bits[at >> 3] = on ? bits[at >> 3] | bit : bits[at >> 3] & (uint8_t)~bit;
}

/* Set one value, or set it anew; what was never set is undefined. Lists are set in order. */
static inline void put_null(Column *column, int64_t at) {
    if (is_list(column->kind))
        column->offsets[at + 1] = column->offsets[at];
    else if (column->kind == TEXT)
        memset(&column->views[at], 0, sizeof(View));
    else if (column->kind != BOOL)
        column->ints[at] = 0;
    set_bit(column->valid, at, false);
}

/* Return where a text of at most `length` bytes can be written, for `put_view`; NULL where there is no memory. */
static inline uint8_t *make_room(Column *column, int64_t length) {
    bool fits = column->text_room - column->used >= length || text_grow(column);
    return fits ? column->text + column->used : NULL;
}

/* Copy a short text into a view and fill it up with zeros; up to `limit` there are bytes that may be looked at. */
static inline void copy_short(uint8_t *to, const uint8_t *text, int64_t length, const uint8_t *limit) {
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
    if (limit - text >= SHORT) { /* copies of a fixed size take no call */
        uint64_t first;
        uint32_t last;
        memcpy(&first, text, 8);
        memcpy(&last, text + 8, 4);
        first = length < 8 ? first & ((1ull << 8 * length) - 1) : first;
        last = length <= 8 ? 0 : length < SHORT ? last & ((1u << 8 * (length - 8)) - 1) : last;
        memcpy(to, &first, 8);
        memcpy(to + 8, &last, 4);
        return;
    }
#endif
    memset(to, 0, SHORT);
    memcpy(to, text, (size_t)length);
}

/* Set a text that stands where `make_room` said, or elsewhere if it is short. */
static inline void put_view(Column *column, int64_t at, const uint8_t *text, int64_t length, const uint8_t *limit) {
    View *view = &column->views[at];
    view->length = (int32_t)length;
    if (length <= SHORT) {
        copy_short(view->text, text, length, limit);
    } else {
        memcpy(view->place.prefix, text, 4);
        view->place.buffer = 0;
        view->place.offset = (int32_t)column->used;
        column->used += length;
    }
    set_bit(column->valid, at, true);
}

/* Set a text that stands elsewhere; up to `limit` there are bytes that may be looked at. */
static inline void put_text(Column *column, int64_t at, const uint8_t *text, int64_t length, const uint8_t *limit) {
    if (length > SHORT) {
        uint8_t *to = make_room(column, length);
        if (!to) {
            put_null(column, at);
            return;
        }
        memcpy(to, text, (size_t)length);
    }
    put_view(column, at, text, length, limit);
}

/* Make a tuple of capsules, a schema and an array, for each column of `rows` values. Each has memory of its own, so that
 * whoever keeps one does not keep the others'. NULL and an exception where that fails. Close the columns in any case. */
PyObject *export_columns(Column *columns, Py_ssize_t count, int64_t rows);

#endif
