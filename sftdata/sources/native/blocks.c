#include "blocks.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#define SMALL (size_t)(1 << 16) /* bytes up to which malloc is as quick */
#define KEPT (size_t)(1 << 25)  /* bytes that are kept at most, of all blocks */
#define PLACES 64
#define HEAD 64 /* bytes before a block, in which its size stands */

static atomic_flag busy = ATOMIC_FLAG_INIT;
static void *kept[PLACES];
static int count;
static size_t total;

static size_t *head_of(void *block) {
    return (size_t *)((char *)block - HEAD);
}

static void lock(void) {
    while (atomic_flag_test_and_set_explicit(&busy, memory_order_acquire))
        ;
}

static void unlock(void) {
    atomic_flag_clear_explicit(&busy, memory_order_release);
}

/* Return the smallest block that is kept and large enough, but not much too large; NULL where there is none. */
static void *find_kept(size_t size) {
    int best = -1;
    for (int place = 0; place < count; place++) {
        size_t found = *head_of(kept[place]);
        if (found >= size && found / 2 <= size && (best < 0 || found < *head_of(kept[best])))
            best = place;
    }
    if (best < 0)
        return NULL;
    void *block = kept[best];
    kept[best] = kept[--count];
    total -= *head_of(block);
    return block;
}

void *block_take(size_t size) {
    void *block = NULL;
    if (size > SMALL) {
        lock();
        block = find_kept(size);
        unlock();
    }
    if (block)
        return block;
    char *memory = malloc(size + HEAD);
    if (!memory)
        return NULL;
    *(size_t *)memory = size;
    return memory + HEAD;
}

void *block_grow(void *block, size_t size) {
    size_t before = *head_of(block);
    if (before >= size)
        return block;
    void *larger = block_take(size);
    if (!larger)
        return NULL;
    memcpy(larger, block, before);
    block_give(block);
    return larger;
}

void block_give(void *block) {
    if (!block)
        return;
    size_t size = *head_of(block);
    bool stays = false;
    if (size > SMALL) {
        lock();
        stays = count < PLACES && total + size <= KEPT;
        if (stays) {
            kept[count++] = block;
            total += size;
        }
        unlock();
    }
    if (!stays)
        free(head_of(block));
}
