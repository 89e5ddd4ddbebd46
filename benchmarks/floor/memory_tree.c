/* One hash table holds all names; a directory lists its own in the order they came. */
#define _GNU_SOURCE
#include "memory_tree.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { FIRST_BUCKETS = 1 << 16, FIRST_NAMES = 8 };

uint64_t node_count;

static struct name **buckets;
static size_t bucket_count;
static size_t name_count;
static ino_t last_inode;

static void *must(void *memory)
{
    if (!memory)
        abort();
    return memory;
}

void touch(struct node *node, bool contents_too)
{
    clock_gettime(CLOCK_REALTIME_COARSE, &node->attributes.st_ctim);
    if (contents_too)
        node->attributes.st_mtim = node->attributes.st_ctim;
}

struct node *node_make(mode_t mode, uid_t uid, gid_t gid, dev_t device)
{
    struct node *node = must(calloc(1, sizeof *node));
    node->attributes.st_ino = ++last_inode;
    node->attributes.st_mode = mode;
    node->attributes.st_uid = uid;
    node->attributes.st_gid = gid;
    node->attributes.st_rdev = device;
    node->attributes.st_blksize = 4096;
    touch(node, true);
    node->attributes.st_atim = node->attributes.st_mtim;
    node_count++;
    return node;
}

void node_free_if_unused(struct node *node)
{
    if (node->attributes.st_nlink || node->lookups || node->handles)
        return;
    while (node->xattrs) {
        struct xattr *xattr = node->xattrs;
        node->xattrs = xattr->next;
        free(xattr->value);
        free(xattr);
    }
    node_count--;
    data_resize(&node->data, 0);
    free(node->names);
    free(node);
}

static void size_changed(struct node *node)
{
    node->attributes.st_size = (off_t)node->data.size;
    node->attributes.st_blocks = (blkcnt_t)((node->data.size + 511) / 512);
    touch(node, true);
}

void node_resize(struct node *node, size_t size)
{
    data_resize(&node->data, size);
    size_changed(node);
}

void node_write(struct node *node, const char *bytes, size_t size, size_t offset)
{
    data_write(&node->data, bytes, size, offset);
    size_changed(node);
}

/* FNV-1a over the name, seeded with the directory. */
static uint32_t name_hash(const struct node *parent, const char *text)
{
    uint32_t hash = 2166136261u ^ (uint32_t)parent->attributes.st_ino * 2654435761u;
    for (; *text; text++)
        hash = (hash ^ (unsigned char)*text) * 16777619u;
    return hash;
}

static void buckets_grow(void)
{
    size_t count = bucket_count ? bucket_count * 4 : FIRST_BUCKETS;
    struct name **grown = must(calloc(count, sizeof *grown));
    for (size_t i = 0; i < bucket_count; i++) {
        while (buckets[i]) {
            struct name *name = buckets[i];
            buckets[i] = name->next_in_bucket;
            name->next_in_bucket = grown[name->hash % count];
            grown[name->hash % count] = name;
        }
    }
    free(buckets);
    buckets = grown;
    bucket_count = count;
}

struct name *name_find(struct node *parent, const char *text)
{
    if (!bucket_count)
        return NULL;
    uint32_t hash = name_hash(parent, text);
    struct name *name = buckets[hash % bucket_count];
    while (name && (name->hash != hash || name->parent != parent || strcmp(name->text, text)))
        name = name->next_in_bucket;
    return name;
}

/* Closes the gaps that removed names left, which moves cookies: only while nobody reads. */
static void names_compact(struct node *directory)
{
    size_t kept = 0;
    for (size_t i = 0; i < directory->names_used; i++) {
        if (!directory->names[i])
            continue;
        directory->names[kept] = directory->names[i];
        directory->names[kept]->position = kept;
        kept++;
    }
    directory->names_used = kept;
}

static void names_provide(struct node *directory)
{
    if (directory->names_used < directory->names_capacity)
        return;
    if (!directory->handles)
        names_compact(directory);
    if (directory->names_used * 2 < directory->names_capacity)
        return;
    size_t capacity = directory->names_capacity ? directory->names_capacity * 2 : FIRST_NAMES;
    directory->names = must(realloc(directory->names, capacity * sizeof *directory->names));
    directory->names_capacity = capacity;
}

void name_add(struct node *parent, const char *text, struct node *child)
{
    if (name_count >= bucket_count)
        buckets_grow();
    names_provide(parent);
    size_t text_size = strlen(text) + 1;
    struct name *name = must(malloc(sizeof *name + text_size));
    name->parent = parent;
    name->child = child;
    name->hash = name_hash(parent, text);
    name->position = parent->names_used;
    memcpy(name->text, text, text_size);
    name->next_in_bucket = buckets[name->hash % bucket_count];
    buckets[name->hash % bucket_count] = name;
    name_count++;
    parent->names[parent->names_used++] = name;
    child->attributes.st_nlink++;
    if (S_ISDIR(child->attributes.st_mode)) {
        child->parent = parent;
        child->attributes.st_nlink++;
        parent->attributes.st_nlink++;
    }
    touch(parent, true);
}

void name_remove(struct name *name)
{
    struct node *parent = name->parent, *child = name->child;
    struct name **link = &buckets[name->hash % bucket_count];
    while (*link != name)
        link = &(*link)->next_in_bucket;
    *link = name->next_in_bucket;
    name_count--;
    parent->names[name->position] = NULL;
    child->attributes.st_nlink--;
    if (S_ISDIR(child->attributes.st_mode)) {
        child->attributes.st_nlink--;
        parent->attributes.st_nlink--;
    }
    touch(parent, true);
    touch(child, false);
    free(name);
}

bool directory_is_empty(const struct node *directory)
{
    for (size_t i = 0; i < directory->names_used; i++)
        if (directory->names[i])
            return false;
    return true;
}

struct xattr *xattr_find(struct node *node, const char *name)
{
    struct xattr *xattr = node->xattrs;
    while (xattr && strcmp(xattr->name, name))
        xattr = xattr->next;
    return xattr;
}

void xattr_put(struct node *node, const char *name, const char *value, size_t size)
{
    struct xattr *xattr = xattr_find(node, name);
    if (!xattr) {
        size_t name_size = strlen(name) + 1;
        xattr = must(calloc(1, sizeof *xattr + name_size));
        memcpy(xattr->name, name, name_size);
        xattr->next = node->xattrs;
        node->xattrs = xattr;
    }
    xattr->value = must(realloc(xattr->value, size + 1));
    memcpy(xattr->value, value, size);
    xattr->size = size;
    touch(node, false);
}

bool xattr_remove(struct node *node, const char *name)
{
    struct xattr **link = &node->xattrs;
    while (*link && strcmp((*link)->name, name))
        link = &(*link)->next;
    if (!*link)
        return false;
    struct xattr *xattr = *link;
    *link = xattr->next;
    free(xattr->value);
    free(xattr);
    touch(node, false);
    return true;
}
