#ifndef SFTDATA_JSON_LINES_H
#define SFTDATA_JSON_LINES_H

#include <stdint.h>

/* Of the line feeds: how many there are, and where the first and the last stand. */
typedef struct {
    int64_t count, first, last;
} Breaks;

/* Find the lines that end with a line feed and are not blank, without the white space around them.
 *
 * `most`: how many there is room for. `line`: the number of the first line. Returns how many there are, -1 where there
 * are more. */
int64_t find_json_lines(const uint8_t *data, int64_t size, int64_t line, int64_t most, int64_t *starts, int64_t *ends,
                        int64_t *lines, Breaks *breaks);

#endif
