#ifndef SFTDATA_CSV_H
#define SFTDATA_CSV_H

#include "columns.h"

/* How a file is written. Its lines end with a line feed, with or without a carriage return before it. */
typedef struct {
    uint8_t delimiter;
    bool quoting;
    int64_t width; /* fields of a record */
} Dialect;

typedef struct {
    int64_t count, end, breaks;
    bool plain; /* whether all of it is ASCII without NUL; false may be said of records that are */
} Found;

/* As `csv_scan.find_records` does where nothing looks wrong: fill `starts`, `ends` and `lines` with `most` records at most.
 *
 * Returns false where something looks wrong, or no line is whole. `final`: nothing follows after `size` bytes. */
bool find_csv_records(const uint8_t *data, int64_t size, bool final, int64_t most, Dialect dialect, int64_t *starts,
                      int64_t *ends, int64_t *lines, Found *found);

/* The number of a record that has not as many fields as it should, and how many it has. */
typedef struct {
    int64_t record, fields;
} Ragged;

/* Parse valid records into columns, an empty field as null.
 *
 * `slots` says for each field in which column it goes, -1: in none. `ragged` has room for all records. Sets how many
 * rows were put and how many records are ragged. Returns false where a record is not valid. */
bool parse_csv_cells(const uint8_t *data, int64_t size, const int64_t *starts, const int64_t *ends, int64_t records,
                     Dialect dialect, const int32_t *slots, Column *columns, int64_t *rows, Ragged *ragged,
                     int64_t *ragged_count);

#endif
