#ifndef SFTDATA_UTF8_H
#define SFTDATA_UTF8_H

#include <stdbool.h>
#include <stdint.h>

/* Tell whether bytes are UTF-8 by RFC 3629: in the shortest form, no half of a pair, nothing beyond U+10FFFF. */
bool is_utf8(const uint8_t *at, const uint8_t *end);

#endif
