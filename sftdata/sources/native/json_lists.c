#include "json_lists.h"

bool put_string(Cursor *cursor, Column *column, int64_t row) {
    Text text;
    if (!pass_text(cursor, &text))
        return false;
    if (!text.escaped) {
        put_text(column, row, text.text, text.length, cursor->limit);
        return true;
    }
    uint8_t *to = make_room(column, text.length);
    int64_t length = to ? decode_text(&text, to) : -1;
    if (length >= 0)
        put_view(column, row, to, length, to + length);
    return length >= 0;
}

/* Put a text, or nothing where there is none. */
static bool put_part(Cursor *cursor, Column *column, int64_t row) {
    uint8_t first = peek_behind_space(cursor);
    if (first == '"')
        return put_string(cursor, column, row);
    put_null(column, row);
    return first == 'n' && pass_word(cursor, "null");
}

/* Give a role our name for it; an empty one has none. False where such a turn is left to others. */
static bool rename_role(const Turns *turns, Column *column, int64_t row) {
    View *view = &column->views[row];
    const uint8_t *text = view->length > SHORT ? column->text + view->place.offset : view->text;
    for (int64_t place = 0; view->length && place < turns->role_count; place++) {
        const Role *role = &turns->roles[place];
        if (!is_name(role->theirs, text, view->length))
            continue;
        const Name *ours = &role->ours;
        if (ours->text)
            put_text(column, row, ours->text, ours->length, ours->text + ours->length);
        return ours->text;
    }
    return true;
}

/* Put the value of a key of a turn; a key that is none of the two, or given twice, makes false. */
static bool put_turn_member(Cursor *cursor, const Turns *turns, Column *turn, int64_t row, bool seen[2]) {
    Text key;
    if (peek_behind_space(cursor) != '"' || !pass_text(cursor, &key) || key.escaped ||
        peek_behind_space(cursor) != ':')
        return false;
    cursor->at++;
    bool content = is_name(turns->content, key.text, key.length);
    if ((!content && !is_name(turns->role, key.text, key.length)) || seen[content])
        return false;
    seen[content] = true;
    if (!put_part(cursor, &turn->inner[content], row))
        return false;
    return content || rename_role(turns, &turn->inner[0], row);
}

static bool put_turn(Cursor *cursor, const Turns *turns, Column *turn, int64_t row) {
    bool seen[2] = {false, false};
    if (peek_behind_space(cursor) != '{')
        return false;
    cursor->at++;
    uint8_t sign = peek_behind_space(cursor) == '}' ? '}' : ',';
    while (sign == ',') {
        if (!put_turn_member(cursor, turns, turn, row, seen))
            return false;
        sign = peek_behind_space(cursor);
        cursor->at += sign == ',';
    }
    if (sign != '}')
        return false;
    cursor->at++;
    for (int part = 0; part < 2; part++)
        if (!seen[part])
            put_null(&turn->inner[part], row);
    return true;
}

/* Put a list; `turns`: NULL where it is of texts. */
static bool put_list(Cursor *cursor, const Turns *turns, Column *column, int64_t row) {
    Column *inner = column->inner;
    int64_t at = column->offsets[row];
    if (peek_behind_space(cursor) != '[')
        return false;
    cursor->at++;
    uint8_t sign = peek_behind_space(cursor) == ']' ? ']' : ',';
    for (; sign == ','; at++) {
        if (at == inner->room && !column_grow(inner))
            return false;
        bool put = turns ? put_turn(cursor, turns, inner, at)
                         : peek_behind_space(cursor) == '"' && put_string(cursor, inner, at);
        if (!put)
            return false;
        sign = peek_behind_space(cursor);
        cursor->at += sign == ',';
    }
    if (sign != ']')
        return false;
    cursor->at++;
    column->offsets[row + 1] = at;
    set_bit(column->valid, row, true);
    return true;
}

bool put_texts(Cursor *cursor, Column *column, int64_t row) {
    return put_list(cursor, NULL, column, row);
}

bool put_turns(Cursor *cursor, const Turns *turns, Column *column, int64_t row) {
    return put_list(cursor, turns, column, row);
}
