/* The operations that the load generator knows; `count` and `bytes` are set before they run. */
#ifndef OPERATIONS_H
#define OPERATIONS_H

#include <stdbool.h>
#include <stddef.h>

enum { PAGE_BYTES = 4096, STREAM_BYTES = 1 << 20 };

struct operation {
    const char *name;
    void (*prepare)(void);
    void (*run)(size_t);
    void (*clean)(void);
    void (*before)(size_t); /* before each operation, outside its latency */
    void (*after)(size_t);
    size_t bytes_each;
    bool drop_names; /* drop the kernel's names and inodes between preparation and run (root) */
};

extern const struct operation operations[];
extern const size_t operations_known;

extern size_t count; /* operations of this process */
extern char *bytes;  /* STREAM_BYTES of them, aligned for O_DIRECT */

void check(bool good, const char *what);

#endif
