#include "csv.h"
#include "signs.h"

#define QUOTE '"'
#define FEED '\n'
#define RETURN '\r'

static bool borders(uint8_t byte, uint8_t delimiter) {
    return byte == delimiter || byte == QUOTE || byte == FEED || byte == RETURN;
}

/* Count the fields of a record: one more than there are delimiters outside of quotes. */
static int64_t count_fields(const uint8_t *data, int64_t start, int64_t end, Dialect dialect) {
    bool open = false;
    int64_t fields = 1;
    for (int64_t at = start; at < end; at++) {
        open ^= dialect.quoting && data[at] == QUOTE;
        fields += !open && data[at] == dialect.delimiter;
    }
    return fields;
}

/* Return the end of the last whole line. */
static int64_t end_of_lines(const uint8_t *data, int64_t size, bool final) {
    while (!final && size && data[size - 1] != FEED)
        size--;
    return size;
}

bool find_csv_records(const uint8_t *data, int64_t size, bool final, int64_t most, Dialect dialect, int64_t *starts,
                      int64_t *ends, int64_t *lines, Found *found) {
    size = end_of_lines(data, size, final);
    Signs signs = {.data = data, .size = size, .one = FEED, .two = RETURN, .three = dialect.quoting ? QUOTE : FEED};
    int64_t start = 0, line = 0, first = 0; /* of the record at hand: where it begins, the line at hand, its own */
    bool open = false;
    Found last = *found = (Found){0}; /* `last`: up to the last record, without empty lines behind it */
    seek_sign(&signs, 0);
    while (start < size) {
        int64_t at = next_sign(&signs);
        uint8_t sign = at < size ? data[at] : FEED; /* the end of the file ends its last line */
        pass_sign(&signs);
        if (sign == QUOTE) {
            int64_t beside = open ? at + 1 : at - 1;
            if (beside >= 0 && beside < size && !borders(data[beside], dialect.delimiter))
                return false;
            open = !open;
            continue;
        }
        if (sign == RETURN) {
            if (at + 1 == size || data[at + 1] != FEED)
                return false;
            continue;
        }
        line++;
        if (open && at < size)
            continue;
        int64_t end = at < size ? at + 1 : size;
        bool empty = data[start] == FEED || data[start] == RETURN;
        if (open && final)
            return false; /* nothing closes the quote any more */
        if (open)
            break;
        if (!empty) {
            if (line - first > 1 && count_fields(data, start, end, dialect) != dialect.width)
                return false;
            if (found->count == most) {
                *found = last;
                break;
            }
            starts[found->count] = start;
            ends[found->count] = end;
            lines[found->count++] = first;
        }
        found->end = start = end;
        found->breaks = first = line;
        if (!empty)
            last = *found;
    }
    found->plain = !signs.strange;
    return found->end > 0;
}

/* A record that is being parsed: where it stops, without its line break, and where its next field begins. */
typedef struct {
    int64_t stop, field;
} Record;

typedef struct {
    const uint8_t *text;
    int64_t length;
    bool doubled; /* whether two quotes stand for one in it */
} Field;

static Record open_record(const uint8_t *data, int64_t start, int64_t end) {
    int64_t stop = end - (end > start && data[end - 1] == FEED);
    return (Record){stop - (stop > start && data[stop - 1] == RETURN), start};
}

/* Pass a field in quotes; false where it is not closed, or something stands behind it. */
static bool pass_quoted(Signs *signs, Record *record, uint8_t delimiter, Field *field) {
    const uint8_t *data = signs->data;
    int64_t at = next_sign(signs);
    field->doubled = false;
    pass_sign(signs);
    for (;;) {
        at = next_sign(signs);
        if (at >= record->stop)
            return false;
        pass_sign(signs);
        if (data[at] != QUOTE)
            continue;
        if (at + 1 >= record->stop || data[at + 1] != QUOTE)
            break;
        next_sign(signs);
        pass_sign(signs);
        field->doubled = true;
    }
    field->text = data + record->field + 1;
    field->length = at - record->field - 1;
    record->field = at + 1;
    if (record->field == record->stop)
        return true;
    if (next_sign(signs) != record->field || data[record->field] != delimiter)
        return false;
    pass_sign(signs);
    return true;
}

/* Pass a field that is not in quotes; a quote inside of it is text. */
static void pass_plain(Signs *signs, Record *record, uint8_t delimiter, Field *field) {
    int64_t at = next_sign(signs);
    while (at < record->stop && signs->data[at] != delimiter) {
        pass_sign(signs);
        at = next_sign(signs);
    }
    if (at < record->stop)
        pass_sign(signs);
    else
        at = record->stop;
    *field = (Field){signs->data + record->field, at - record->field, false};
    record->field = at;
}

static void put_doubled(Column *column, int64_t row, Field field) {
    uint8_t *to = make_room(column, field.length);
    int64_t length = 0;
    if (!to) {
        put_null(column, row);
        return;
    }
    for (int64_t at = 0; at < field.length; at++) {
        to[length++] = field.text[at];
        at += field.text[at] == QUOTE;
    }
    put_view(column, row, to, length, to + length);
}

static void put_field(Column *column, int64_t row, Field field, const uint8_t *limit) {
    if (!field.length)
        put_null(column, row);
    else if (field.doubled)
        put_doubled(column, row, field);
    else
        put_text(column, row, field.text, field.length, limit);
}

/* Put the fields of a record into a row; return how many it has, -1 where it is not valid. */
static int64_t put_record(Signs *signs, Record record, Dialect dialect, const int32_t *slots, Column *columns,
                          int64_t row) {
    for (int64_t count = 1;; count++, record.field++) {
        Field field;
        if (dialect.quoting && record.field < record.stop && signs->data[record.field] == QUOTE) {
            if (!pass_quoted(signs, &record, dialect.delimiter, &field))
                return -1;
        } else {
            pass_plain(signs, &record, dialect.delimiter, &field);
        }
        if (count <= dialect.width && slots[count - 1] >= 0)
            put_field(&columns[slots[count - 1]], row, field, signs->data + signs->size);
        if (record.field == record.stop)
            return count;
    }
}

bool parse_csv_cells(const uint8_t *data, int64_t size, const int64_t *starts, const int64_t *ends, int64_t records,
                     Dialect dialect, const int32_t *slots, Column *columns, int64_t *rows, Ragged *ragged,
                     int64_t *ragged_count) {
    uint8_t quote = dialect.quoting ? QUOTE : dialect.delimiter;
    Signs signs = {.data = data, .size = size, .one = dialect.delimiter, .two = quote, .three = quote};
    *rows = *ragged_count = 0;
    for (int64_t number = 0; number < records; number++) {
        if (!number || starts[number] != ends[number - 1])
            seek_sign(&signs, starts[number]);
        int64_t fields =
            put_record(&signs, open_record(data, starts[number], ends[number]), dialect, slots, columns, *rows);
        if (fields < 0)
            return false;
        if (fields == dialect.width)
            ++*rows;
        else
            ragged[(*ragged_count)++] = (Ragged){number, fields};
    }
    return true;
}
