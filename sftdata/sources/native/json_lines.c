#include "json_lines.h"

#include <stdbool.h>
#include <string.h>

/* Tell what `bytes.strip` takes away. */
static inline bool is_space(uint8_t byte) {
    return byte == ' ' || (byte >= '\t' && byte <= '\r');
}

int64_t find_json_lines(const uint8_t *data, int64_t size, int64_t line, int64_t most, int64_t *starts, int64_t *ends,
                        int64_t *lines, Breaks *breaks) {
    int64_t count = 0, start = 0;
    *breaks = (Breaks){0, 0, 0};
    while (start < size) {
        const uint8_t *feed = memchr(data + start, '\n', (size_t)(size - start));
        if (!feed)
            break;
        int64_t end = breaks->last = feed - data, next = end + 1;
        if (!breaks->count)
            breaks->first = end;
        while (start < end && is_space(data[start]))
            start++;
        while (start < end && is_space(data[end - 1]))
            end--;
        if (start < end) {
            if (count == most)
                return -1;
            starts[count] = start;
            ends[count] = end;
            lines[count++] = line + breaks->count;
        }
        breaks->count++;
        start = next;
    }
    return count;
}
