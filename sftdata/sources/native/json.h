#ifndef SFTDATA_JSON_H
#define SFTDATA_JSON_H

#include "json_lists.h"

/* A key of the records that is a column. */
typedef struct {
    Name name;
    bool coerce;  /* TEXT: take a number or boolean for the text it is written as */
    Turns turns;  /* CHATS */
    int64_t seen; /* the number of the last record that has it */
} Wanted;

/* Parse records into columns, in which a key that a record lacks is null.
 *
 * A record is odd, and left out, where it is not valid, or its values are not what the columns take, or that is not
 * certain here. `odd` has a byte for each record. Each column has room for all records, and for as many bytes of text
 * as the records take. Returns how many rows were put. */
int64_t parse_json_records(const uint8_t *data, int64_t size, const int64_t *starts, const int64_t *ends,
                           int64_t records, Wanted *wanted, Column *columns, int32_t count, uint8_t *odd);

#endif
