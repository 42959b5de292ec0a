#include "json_text.h"

#include <float.h>
#include <string.h>

static inline bool is_digit(uint8_t byte) {
    return byte >= '0' && byte <= '9';
}

/* Pass digits and add them to the number; return how many there are. */
static inline int64_t pass_digits(Cursor *cursor, Number *number) {
    const uint8_t *start = cursor->at;
    for (; is_digit(peek(cursor)); cursor->at++) {
        uint8_t digit = (uint8_t)(*cursor->at - '0');
        number->digits = number->digits * 10 + digit; /* which overflows where more than 19 are significant */
        number->significant += number->significant || digit;
    }
    return cursor->at - start;
}

/* Pass the power of ten behind an `e`; one that is out of all bounds is not counted to its end. */
static bool pass_exponent(Cursor *cursor, Number *number) {
    int64_t power = 0;
    bool negative = peek(cursor) == '-';
    cursor->at += negative || peek(cursor) == '+';
    if (!is_digit(peek(cursor)))
        return false;
    for (; is_digit(peek(cursor)); cursor->at++)
        power = power < 100000 ? power * 10 + (*cursor->at - '0') : power;
    number->exponent += negative ? -power : power;
    return true;
}

bool pass_number(Cursor *cursor, Number *number) {
    *number = (Number){.text = cursor->at, .negative = *cursor->at == '-', .whole = true};
    cursor->at += number->negative;
    bool zero = peek(cursor) == '0';
    int64_t count = pass_digits(cursor, number);
    if (!count || (zero && count > 1))
        return false;
    if (peek(cursor) == '.') {
        cursor->at++;
        count = pass_digits(cursor, number);
        if (!count)
            return false;
        number->exponent = -count;
        number->whole = false;
    }
    if (peek(cursor) == 'e' || peek(cursor) == 'E') {
        cursor->at++;
        if (!pass_exponent(cursor, number))
            return false;
        number->whole = false;
    }
    number->length = cursor->at - number->text;
    return true;
}

bool read_int(const Number *number, int64_t *value) {
    uint64_t most = (uint64_t)INT64_MAX + number->negative;
    if (!number->whole || number->significant > 19 || number->digits > most)
        return false;
    *value = (int64_t)(number->negative ? 0 - number->digits : number->digits);
    return true;
}

#if defined(__SIZEOF_INT128__)

#define MOST_FIVES 27 /* 5 to this power is less than 2 to the power of 63 */

static double power_of_two(int64_t power) {
    uint64_t bits = (uint64_t)(1023 + power) << 52;
    double value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

/* Compute `digits` times ten to a small power in integers, so that it is rounded but once. */
static bool scale_exactly(uint64_t digits, int64_t exponent, double *value) {
    if (exponent < -MOST_FIVES || exponent > MOST_FIVES)
        return false;
    unsigned __int128 wide = digits, fives = 1;
    for (int64_t power = exponent < 0 ? -exponent : exponent; power; power--)
        fives *= 5;
    int64_t shift = 0;
    if (exponent < 0) {
        shift = 64 + __builtin_clzll(digits);
        wide <<= shift;
        wide = wide / fives | (wide % fives != 0); /* more than 64 bits, of which the last says if there are more */
    } else {
        wide *= fives;
    }
    *value = (double)wide * power_of_two(exponent - shift);
    return true;
}

#else

static bool scale_exactly(uint64_t digits, int64_t exponent, double *value) {
    (void)digits, (void)exponent, (void)value;
    return false;
}

#endif

bool read_float(const Number *number, double *value) {
    static const double tens[] = {1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,  1e8,  1e9,  1e10, 1e11,
                                  1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22};
    int64_t exponent = number->exponent;
    if (FLT_EVAL_METHOD != 0 || number->significant > 19)
        return false;
    if (!number->significant)
        *value = 0;
    else if (number->digits <= 1ull << 53 && exponent >= -22 && exponent <= 22) /* one rounding of exact numbers */
        *value = exponent < 0 ? (double)number->digits / tens[-exponent] : (double)number->digits * tens[exponent];
    else if (!scale_exactly(number->digits, exponent, value))
        return false;
    *value = number->negative ? -*value : *value;
    return true;
}
