#include "json.h"

#define OFTEN 64 /* so many keys of a record are expected where they stood in the record before */

/* A key as it was found at a place of the record before; `column`: its number, -1 where it is none. */
typedef struct {
    const uint8_t *text;
    int64_t length;
    int32_t column;
} Known;

typedef struct {
    Wanted *wanted;
    Column *columns;
    int32_t count;
    int64_t number, row; /* of the record at hand, and where it is put */
    Known known[OFTEN];
} Parser;

static bool put_number(Cursor *cursor, Column *column, int64_t row) {
    Number number;
    if (!pass_number(cursor, &number))
        return false;
    if (column->kind == INT ? !read_int(&number, &column->ints[row]) : !read_float(&number, &column->floats[row]))
        return false;
    set_bit(column->valid, row, true);
    return true;
}

static bool put_bool(Cursor *cursor, Column *column, int64_t row) {
    bool truth = peek(cursor) == 't';
    if (!pass_word(cursor, truth ? "true" : "false"))
        return false;
    set_bit(column->bits, row, truth);
    set_bit(column->valid, row, true);
    return true;
}

/* Put a number or boolean as it is written. */
static bool put_written(Cursor *cursor, Column *column, int64_t row) {
    const uint8_t *start = cursor->at;
    Number number;
    bool right;
    if (*start == 't' || *start == 'f')
        right = pass_word(cursor, *start == 't' ? "true" : "false");
    else
        right = pass_number(cursor, &number);
    if (right)
        put_text(column, row, start, cursor->at - start, cursor->limit);
    return right;
}

static bool put_value(Cursor *cursor, const Wanted *wanted, Column *column, int64_t row) {
    uint8_t first = peek_behind_space(cursor);
    if (first == 'n') {
        put_null(column, row);
        return pass_word(cursor, "null");
    }
    if (column->kind == INT || column->kind == FLOAT)
        return first && put_number(cursor, column, row);
    if (column->kind == BOOL)
        return put_bool(cursor, column, row);
    if (column->kind == TEXTS)
        return put_texts(cursor, column, row);
    if (column->kind == CHATS)
        return put_turns(cursor, &wanted->turns, column, row);
    if (first == '"')
        return put_string(cursor, column, row);
    return first && wanted->coerce && put_written(cursor, column, row);
}

static int32_t find_column(const Parser *parser, const Text *key) {
    for (int32_t place = 0; place < parser->count; place++)
        if (is_name(parser->wanted[place].name, key->text, key->length))
            return place;
    return -1;
}

/* Pass a key, and say which column it is; it is odd where it has escapes, which may spell any name. */
static bool pass_key(Cursor *cursor, Parser *parser, int32_t place, int32_t *column) {
    Known *known = place < OFTEN ? &parser->known[place] : NULL;
    if (known && known->text && cursor->end - cursor->at >= known->length + 2 && cursor->at[known->length + 1] == '"' &&
        !memcmp(cursor->at + 1, known->text, (size_t)known->length)) {
        cursor->at += known->length + 2;
        *column = known->column;
        return true;
    }
    Text key;
    if (!pass_text(cursor, &key) || key.escaped)
        return false;
    *column = find_column(parser, &key);
    if (known)
        *known = (Known){key.text, key.length, *column};
    return true;
}

static bool put_member(Cursor *cursor, Parser *parser, int32_t place, int32_t *filled) {
    int32_t column;
    if (peek_behind_space(cursor) != '"' || !pass_key(cursor, parser, place, &column) ||
        peek_behind_space(cursor) != ':')
        return false;
    cursor->at++;
    if (column < 0)
        return pass_value(cursor);
    Wanted *wanted = &parser->wanted[column];
    if (wanted->seen == parser->number) /* twice */
        return false;
    wanted->seen = parser->number;
    ++*filled;
    return put_value(cursor, wanted, &parser->columns[column], parser->row);
}

static bool put_members(Cursor *cursor, Parser *parser, int32_t *filled) {
    if (peek_behind_space(cursor) == '}')
        return true;
    for (int32_t place = 0;; place += place < OFTEN) {
        if (!put_member(cursor, parser, place, filled))
            return false;
        uint8_t sign = peek_behind_space(cursor);
        if (sign != ',')
            return sign == '}';
        cursor->at++;
    }
}

static bool put_record(Cursor *cursor, Parser *parser) {
    int32_t filled = 0;
    if (peek_behind_space(cursor) != '{')
        return false;
    cursor->at++;
    if (!put_members(cursor, parser, &filled))
        return false;
    cursor->at++;
    peek_behind_space(cursor);
    if (cursor->at != cursor->end)
        return false;
    for (int32_t place = 0; filled < parser->count && place < parser->count; place++)
        if (parser->wanted[place].seen != parser->number)
            put_null(&parser->columns[place], parser->row);
    return true;
}

int64_t parse_json_records(const uint8_t *data, int64_t size, const int64_t *starts, const int64_t *ends,
                           int64_t records, Wanted *wanted, Column *columns, int32_t count, uint8_t *odd) {
    Parser parser = {.wanted = wanted, .columns = columns, .count = count};
    for (int32_t place = 0; place < count; place++)
        wanted[place].seen = -1;
    for (int64_t number = 0; number < records; number++) {
        parser.number = number;
        Cursor cursor = {data + starts[number], data + ends[number], data + size};
        odd[number] = !put_record(&cursor, &parser);
        parser.row += !odd[number];
    }
    return parser.row;
}
