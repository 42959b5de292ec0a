#include "json_text.h"
#include "utf8.h"

#include <string.h>

#if defined(__SSE2__)
#include <emmintrin.h>
#endif

#define BLOCK 16 /* bytes that are looked at together */

/* A bit for each of the bytes: those that end a plain text (a quote, a backslash, a control), and those not of ASCII. */
typedef struct {
    uint32_t stops, wide;
} Marks;

static inline bool is_stop(uint8_t byte) {
    return byte < 0x20 || byte == '"' || byte == '\\';
}

static inline Marks mark_block(const uint8_t *at) {
#if defined(__SSE2__)
    __m128i bytes = _mm_loadu_si128((const __m128i *)at);
    __m128i control = _mm_cmpeq_epi8(_mm_min_epu8(bytes, _mm_set1_epi8(0x1f)), bytes);
    __m128i signs =
        _mm_or_si128(_mm_cmpeq_epi8(bytes, _mm_set1_epi8('"')), _mm_cmpeq_epi8(bytes, _mm_set1_epi8('\\')));
    return (Marks){(uint32_t)_mm_movemask_epi8(_mm_or_si128(control, signs)), (uint32_t)_mm_movemask_epi8(bytes)};
#else
    Marks marks = {0, 0};
    for (int place = 0; place < BLOCK; place++) {
        marks.stops |= (uint32_t)is_stop(at[place]) << place;
        marks.wide |= (uint32_t)(at[place] >> 7) << place;
    }
    return marks;
#endif
}

/* Return where plain text ends; note in `wide` whether it has characters that are not ASCII. */
static inline const uint8_t *find_stop(const Cursor *cursor, const uint8_t *at, uint32_t *wide) {
    while (at < cursor->end && cursor->limit - at >= BLOCK) {
        Marks marks = mark_block(at);
        if (marks.stops) {
            int place = __builtin_ctz(marks.stops);
            *wide |= marks.wide & ((1u << place) - 1);
            return at + place;
        }
        *wide |= marks.wide;
        at += BLOCK;
    }
    while (at < cursor->end && !is_stop(*at))
        *wide |= *at++ & 0x80;
    return at;
}

/* Return the value of a hexadecimal digit, -1 where it is none. */
static inline int32_t read_hex(uint8_t byte) {
    if (byte >= '0' && byte <= '9')
        return byte - '0';
    byte |= 0x20;
    return byte >= 'a' && byte <= 'f' ? byte - 'a' + 10 : -1;
}

/* Return the number that four hexadecimal digits write, -1 where they are not. */
static inline int32_t read_unit(const uint8_t *at) {
    int32_t unit = 0;
    for (int place = 0; place < 4; place++) {
        int32_t digit = read_hex(at[place]);
        if (digit < 0)
            return -1;
        unit = unit << 4 | digit;
    }
    return unit;
}

/* Return what the letter behind a backslash means, 0 where it means nothing, or a number follows. */
static inline uint8_t name_escape(uint8_t letter) {
    switch (letter) {
    case 'b':
        return '\b';
    case 'f':
        return '\f';
    case 'n':
        return '\n';
    case 'r':
        return '\r';
    case 't':
        return '\t';
    default:
        return letter == '"' || letter == '\\' || letter == '/' ? letter : 0;
    }
}

/* Return where the escape ends that begins with the backslash at `at`; NULL where it is none. */
static const uint8_t *pass_escape(const uint8_t *at, const uint8_t *end) {
    if (end - at < 2)
        return NULL;
    if (at[1] == 'u')
        return end - at >= 6 && read_unit(at + 2) >= 0 ? at + 6 : NULL;
    return name_escape(at[1]) ? at + 2 : NULL;
}

bool pass_text(Cursor *cursor, Text *text) {
    const uint8_t *start = cursor->at + 1, *at = start;
    uint32_t wide = 0;
    text->escaped = false;
    for (;;) {
        at = find_stop(cursor, at, &wide);
        if (at >= cursor->end)
            return false;
        if (*at == '"')
            break;
        if (*at != '\\' || !(at = pass_escape(at, cursor->end)))
            return false;
        text->escaped = true;
    }
    text->text = start;
    text->length = at - start;
    cursor->at = at + 1;
    return !wide || is_utf8(start, at);
}

static int64_t write_character(uint32_t code, uint8_t *to) {
    if (code < 0x80) {
        to[0] = (uint8_t)code;
        return 1;
    }
    int64_t size = code < 0x800 ? 2 : code < 0x10000 ? 3 : 4;
    for (int64_t place = size - 1; place > 0; place--, code >>= 6)
        to[place] = (uint8_t)(0x80 | (code & 0x3F));
    to[0] = (uint8_t)((0xF00 >> size & 0xF0) | code); /* as many ones as bytes */
    return size;
}

/* Return the character that an escape of a valid text writes, and go behind it; -1 where it is half of one. */
static int32_t read_escape(const uint8_t **at, const uint8_t *end) {
    const uint8_t *here = *at;
    if (here[1] != 'u') {
        *at += 2;
        return name_escape(here[1]);
    }
    int32_t unit = read_unit(here + 2);
    *at += 6;
    if (unit < 0xD800 || unit > 0xDFFF)
        return unit;
    int32_t low = unit < 0xDC00 && end - *at >= 6 && here[6] == '\\' && here[7] == 'u' ? read_unit(here + 8) : -1;
    if (low < 0xDC00 || low > 0xDFFF)
        return -1;
    *at += 6;
    return 0x10000 + ((unit - 0xD800) << 10) + (low - 0xDC00);
}

int64_t decode_text(const Text *text, uint8_t *to) {
    const uint8_t *at = text->text, *end = at + text->length;
    uint8_t *out = to;
    while (at < end) {
        const uint8_t *escape = memchr(at, '\\', (size_t)(end - at));
        int64_t plain = (escape ? escape : end) - at;
        memcpy(out, at, (size_t)plain);
        out += plain;
        at += plain;
        if (!escape)
            break;
        int32_t code = read_escape(&at, end);
        if (code < 0)
            return -1;
        out += write_character((uint32_t)code, out);
    }
    return out - to;
}

bool pass_word(Cursor *cursor, const char *word) {
    size_t length = strlen(word);
    if ((size_t)(cursor->end - cursor->at) < length || memcmp(cursor->at, word, length))
        return false;
    cursor->at += length;
    return true;
}

static bool pass_scalar(Cursor *cursor, uint8_t first) {
    Text text;
    Number number;
    switch (first) {
    case '"':
        return pass_text(cursor, &text);
    case 't':
        return pass_word(cursor, "true");
    case 'f':
        return pass_word(cursor, "false");
    case 'n':
        return pass_word(cursor, "null");
    default:
        return first && pass_number(cursor, &number);
    }
}

static bool pass_key(Cursor *cursor) {
    Text key;
    if (peek_behind_space(cursor) != '"' || !pass_text(cursor, &key) || peek_behind_space(cursor) != ':')
        return false;
    cursor->at++;
    return true;
}

/* The arrays and objects that are open: a bit for each, set for an object, the innermost first. */
typedef struct {
    uint64_t objects;
    int depth;
} Nest;

#define DEEPEST 64

/* Enter an array or object; `*closed`: it is empty, and was left again. */
static bool enter(Cursor *cursor, Nest *nest, bool object, bool *closed) {
    if (nest->depth == DEEPEST)
        return false;
    cursor->at++;
    *closed = peek_behind_space(cursor) == (object ? '}' : ']');
    if (*closed) {
        cursor->at++;
        return true;
    }
    nest->depth++;
    nest->objects = nest->objects << 1 | object;
    return !object || pass_key(cursor);
}

/* Pass what follows a value: a comma, or the ends of what it stands in. */
static bool leave(Cursor *cursor, Nest *nest) {
    while (nest->depth) {
        bool object = nest->objects & 1;
        uint8_t sign = peek_behind_space(cursor);
        if (sign == ',') {
            cursor->at++;
            return !object || pass_key(cursor);
        }
        if (sign != (object ? '}' : ']'))
            return false;
        cursor->at++;
        nest->depth--;
        nest->objects >>= 1;
    }
    return true;
}

bool pass_value(Cursor *cursor) {
    Nest nest = {0, 0};
    do {
        uint8_t first = peek_behind_space(cursor);
        bool closed = true;
        if (first == '{' || first == '[') {
            if (!enter(cursor, &nest, first == '{', &closed))
                return false;
        } else if (!pass_scalar(cursor, first)) {
            return false;
        }
        if (closed && !leave(cursor, &nest))
            return false;
    } while (nest.depth);
    return true;
}
