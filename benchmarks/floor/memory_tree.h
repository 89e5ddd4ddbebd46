/* The names, inodes and contents of a file system that lives in memory; knows nothing of FUSE.
 *
 * A floor for benchmarks, not a product: allocation failure aborts, nothing is bounded, and the
 * caller holds one lock around every call.
 */
#ifndef MEMORY_TREE_H
#define MEMORY_TREE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/types.h>

#include "memory_data.h"

struct name;

struct xattr {
    struct xattr *next;
    size_t size;
    char *value;
    char name[];
};

struct node {
    struct stat attributes;
    uint64_t lookups;   /* references that the kernel holds */
    uint64_t handles;   /* open files and directories */
    struct data data;   /* a file's bytes, or a symlink's target */
    struct xattr *xattrs;
    struct node *parent; /* of a directory */
    struct name **names; /* of a directory, by cookie; NULL where a name was removed */
    size_t names_used;
    size_t names_capacity;
};

/* One directory entry.  `position` is its place in the parent's `names`: stable, so a cookie. */
struct name {
    struct name *next_in_bucket;
    struct node *parent;
    struct node *child;
    size_t position;
    uint32_t hash;
    char text[];
};

extern uint64_t node_count;

void touch(struct node *node, bool contents_too);

struct node *node_make(mode_t mode, uid_t uid, gid_t gid, dev_t device);
void node_free_if_unused(struct node *node);

void node_resize(struct node *node, size_t size);
void node_write(struct node *node, const char *bytes, size_t size, size_t offset);

struct name *name_find(struct node *parent, const char *text);
void name_add(struct node *parent, const char *text, struct node *child);
void name_remove(struct name *name);
bool directory_is_empty(const struct node *directory);

struct xattr *xattr_find(struct node *node, const char *name);
void xattr_put(struct node *node, const char *name, const char *value, size_t size);
bool xattr_remove(struct node *node, const char *name);

#endif
