/* The bytes of one file in memory: a first chunk that grows with the file, then chunks of 1 MiB. */
#ifndef MEMORY_DATA_H
#define MEMORY_DATA_H

#include <stddef.h>
#include <sys/uio.h>

enum { CHUNK_BYTES = 1 << 20, PIECES_MAX = 2 }; /* a request of 1 MiB touches two chunks at most */

struct data {
    size_t size;
    size_t first_capacity; /* of chunk 0, while it is the only one */
    size_t chunk_count;
    char **chunks;
};

void data_resize(struct data *data, size_t size);
void data_write(struct data *data, const char *bytes, size_t size, size_t offset);

/* Points `pieces` at up to `size` bytes from `offset`; returns how many pieces (0 at the end). */
int data_pieces(const struct data *data, size_t offset, size_t size,
                struct iovec pieces[PIECES_MAX]);

#endif
