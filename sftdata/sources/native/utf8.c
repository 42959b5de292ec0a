#include "utf8.h"

#include <string.h>

static inline bool continues(uint8_t byte) {
    return (byte & 0xC0) == 0x80;
}

/* Return how many bytes the character takes that begins here and is not ASCII; 0 where it is not UTF-8. */
static inline int64_t measure_wide(const uint8_t *at, int64_t left) {
    if (at[0] >= 0xE0 && at[0] < 0xF0) {
        if (left < 3 || !continues(at[1]) || !continues(at[2]))
            return 0;
        uint32_t code = (uint32_t)(at[0] & 0x0F) << 6 | (at[1] & 0x3F); /* without the last six bits */
        return code >= 0x800 >> 6 && (code < 0xD800 >> 6 || code > 0xDFFF >> 6) ? 3 : 0;
    }
    if (at[0] >= 0xC2 && at[0] < 0xE0)
        return left >= 2 && continues(at[1]) ? 2 : 0;
    if (at[0] < 0xF0 || at[0] > 0xF4 || left < 4 || !continues(at[1]) || !continues(at[2]) || !continues(at[3]))
        return 0;
    uint32_t code = (uint32_t)(at[0] & 0x07) << 6 | (at[1] & 0x3F); /* without the last twelve bits */
    return code >= 0x10000 >> 12 && code <= 0x10FFFF >> 12 ? 4 : 0;
}

static inline uint32_t read_four(const uint8_t *at) {
    return at[0] | (uint32_t)at[1] << 8 | (uint32_t)at[2] << 16 | (uint32_t)at[3] << 24;
}

/* Tell whether a character of three bytes begins here, such as nearly all of Chinese; four bytes are there. */
static inline bool is_three(const uint8_t *at) {
    uint32_t four = read_four(at), least = four & 0x200F; /* 0: written too long, 0x200D: half of a character */
    return (four & 0xC0C0F0) == 0x8080E0 && least && least != 0x200D;
}

static inline bool are_ascii(const uint8_t *at) {
    return !((read_four(at) | read_four(at + 4)) & 0x80808080);
}

bool is_utf8(const uint8_t *at, const uint8_t *end) {
    while (at < end) {
        while (end - at >= 4 && is_three(at))
            at += 3;
        while (end - at >= 8 && are_ascii(at))
            at += 8;
        if (at == end)
            break;
        int64_t size = *at < 0x80 ? 1 : measure_wide(at, end - at);
        if (!size)
            return false;
        at += size;
    }
    return true;
}
