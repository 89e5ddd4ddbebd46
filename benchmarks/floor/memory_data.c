/* Chunks are recycled and never given back: a floor that paid page faults anew for each file would
 * be slower than a daemon with a memory pool. */
#define _GNU_SOURCE
#include "memory_data.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

enum { FIRST_CAPACITY_BYTES = 512, ARENA_CHUNKS = 64, HUGE_PAGE_BYTES = 2 << 20 };

static char **free_chunks;
static size_t free_count;
static size_t free_capacity;

static void *must(void *memory)
{
    if (!memory)
        abort();
    return memory;
}

static void chunk_release(char *chunk)
{
    if (free_count == free_capacity) {
        free_capacity = free_capacity ? free_capacity * 2 : ARENA_CHUNKS;
        free_chunks = must(realloc(free_chunks, free_capacity * sizeof *free_chunks));
    }
    free_chunks[free_count++] = chunk;
}

static char *chunk_take(void)
{
    if (!free_count) {
        size_t size = (size_t)ARENA_CHUNKS * CHUNK_BYTES;
        char *arena = must(aligned_alloc(HUGE_PAGE_BYTES, size));
        madvise(arena, size, MADV_HUGEPAGE);
        for (size_t i = ARENA_CHUNKS; i--;)
            chunk_release(arena + i * CHUNK_BYTES);
    }
    return free_chunks[--free_count];
}

/* The first chunk doubles on the heap until it is a whole one. */
static void first_provide(struct data *data, size_t size)
{
    size_t capacity = data->first_capacity ? data->first_capacity : FIRST_CAPACITY_BYTES;
    while (capacity < size)
        capacity *= 2;
    if (capacity == data->first_capacity)
        return;
    char *chunk;
    if (capacity < CHUNK_BYTES) {
        chunk = must(realloc(data->chunk_count ? data->chunks[0] : NULL, capacity));
    } else {
        chunk = chunk_take();
        if (data->chunk_count) {
            memcpy(chunk, data->chunks[0], data->size);
            free(data->chunks[0]);
        }
    }
    if (!data->chunk_count)
        data->chunks = must(realloc(data->chunks, sizeof *data->chunks));
    data->chunks[0] = chunk;
    data->chunk_count = 1;
    data->first_capacity = capacity;
}

static void provide(struct data *data, size_t size)
{
    first_provide(data, size < CHUNK_BYTES ? size : CHUNK_BYTES);
    size_t needed = (size + CHUNK_BYTES - 1) / CHUNK_BYTES;
    if (needed <= data->chunk_count)
        return;
    data->chunks = must(realloc(data->chunks, needed * sizeof *data->chunks));
    while (data->chunk_count < needed)
        data->chunks[data->chunk_count++] = chunk_take();
}

static void empty(struct data *data)
{
    for (size_t i = data->chunk_count; i-- > 1;)
        chunk_release(data->chunks[i]);
    if (data->chunk_count && data->first_capacity < CHUNK_BYTES)
        free(data->chunks[0]);
    else if (data->chunk_count)
        chunk_release(data->chunks[0]);
    free(data->chunks);
    *data = (struct data){0};
}

int data_pieces(const struct data *data, size_t offset, size_t size,
                struct iovec pieces[PIECES_MAX])
{
    int count = 0;
    if (offset >= data->size)
        return 0;
    if (size > data->size - offset)
        size = data->size - offset;
    for (; size && count < PIECES_MAX; count++) {
        size_t start = offset % CHUNK_BYTES;
        size_t piece = size < CHUNK_BYTES - start ? size : CHUNK_BYTES - start;
        pieces[count].iov_base = data->chunks[offset / CHUNK_BYTES] + start;
        pieces[count].iov_len = piece;
        offset += piece;
        size -= piece;
    }
    return count;
}

/* Copies `bytes`, or zeros where it is NULL, into room that is already there. */
static void put(struct data *data, const char *bytes, size_t size, size_t offset)
{
    while (size) {
        size_t start = offset % CHUNK_BYTES;
        size_t piece = size < CHUNK_BYTES - start ? size : CHUNK_BYTES - start;
        char *place = data->chunks[offset / CHUNK_BYTES] + start;
        if (bytes) {
            memcpy(place, bytes, piece);
            bytes += piece;
        } else {
            memset(place, 0, piece);
        }
        offset += piece;
        size -= piece;
    }
}

void data_resize(struct data *data, size_t size)
{
    if (!size) {
        empty(data);
        return;
    }
    if (size > data->size) {
        provide(data, size);
        put(data, NULL, size - data->size, data->size);
    }
    data->size = size;
}

void data_write(struct data *data, const char *bytes, size_t size, size_t offset)
{
    if (offset > data->size)
        data_resize(data, offset);
    provide(data, offset + size);
    put(data, bytes, size, offset);
    if (offset + size > data->size)
        data->size = offset + size;
}
