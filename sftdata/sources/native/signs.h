/* Find the few bytes that mean something among the many that do not, 64 bytes at a time. */
#ifndef SFTDATA_SIGNS_H
#define SFTDATA_SIGNS_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#if defined(__SSE2__)
#include <emmintrin.h>
#endif

/* Up to three bytes to look for; one that is not needed is the same as another. */
typedef struct {
    const uint8_t *data;
    int64_t size, base; /* `base`: where the 64 bytes stand that `found` tells of */
    uint64_t found;     /* a bit for each of them that was not passed yet */
    uint8_t one, two, three;
    bool strange; /* whether a byte was passed that is not ASCII, or NUL */
} Signs;

static inline uint64_t match_signs(Signs *signs, const uint8_t *at) {
    uint64_t found = 0;
#if defined(__SSE2__)
    const __m128i one = _mm_set1_epi8((char)signs->one), two = _mm_set1_epi8((char)signs->two),
                  three = _mm_set1_epi8((char)signs->three);
    __m128i any = _mm_setzero_si128(), least = _mm_set1_epi8((char)0xFF);
    for (int part = 0; part < 4; part++) {
        __m128i bytes = _mm_loadu_si128((const __m128i *)at + part);
        __m128i equal = _mm_or_si128(_mm_or_si128(_mm_cmpeq_epi8(bytes, one), _mm_cmpeq_epi8(bytes, two)),
                                     _mm_cmpeq_epi8(bytes, three));
        found |= (uint64_t)(uint32_t)_mm_movemask_epi8(equal) << 16 * part;
        any = _mm_or_si128(any, bytes);
        least = _mm_min_epu8(least, bytes);
    }
    signs->strange |= _mm_movemask_epi8(_mm_or_si128(any, _mm_cmpeq_epi8(least, _mm_setzero_si128()))) != 0;
#else
    for (int place = 0; place < 64; place++) {
        found |= (uint64_t)(at[place] == signs->one || at[place] == signs->two || at[place] == signs->three) << place;
        signs->strange |= !at[place] || at[place] >= 0x80;
    }
#endif
    return found;
}

/* Look at the 64 bytes from `at` on, of which fewer may be left. */
static inline void seek_sign(Signs *signs, int64_t at) {
    int64_t left = signs->size - at;
    signs->base = at;
    if (left >= 64) {
        signs->found = match_signs(signs, signs->data + at);
    } else {
        uint8_t rest[64];
        memset(rest, ' ', sizeof rest);
        memcpy(rest, signs->data + at, left > 0 ? (size_t)left : 0);
        signs->found = left > 0 ? match_signs(signs, rest) & ((1ull << left) - 1) : 0;
    }
}

/* Return where the next sign stands, `size` where there is none. */
static inline int64_t next_sign(Signs *signs) {
    while (!signs->found) {
        if (signs->base + 64 >= signs->size)
            return signs->size;
        seek_sign(signs, signs->base + 64);
    }
    return signs->base + __builtin_ctzll(signs->found);
}

static inline void pass_sign(Signs *signs) {
    signs->found &= signs->found - 1;
}

#endif
