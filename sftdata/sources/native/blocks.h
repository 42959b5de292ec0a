#ifndef SFTDATA_BLOCKS_H
#define SFTDATA_BLOCKS_H

#include <stddef.h>

/* Memory like that of malloc, which is kept for the next that asks: slices take as much again and again, and to get
 * the pages of 10 MB anew from the system takes as long as to fill them. From any thread; NULL where there is none. */
void *block_take(size_t size);
void *block_grow(void *block, size_t size);
void block_give(void *block);

#endif
