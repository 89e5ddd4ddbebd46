/* A file system in memory on libfuse's low-level interface: the floor that vexfs is measured against.
 *
 * It does what any in-memory C file system on this stack would do, and no more: libfuse's default
 * INIT flags, one lock, timeouts of a minute, no negative entries.  What it answers is what the
 * kernel, libfuse and two context switches cost when the file system itself costs nothing.
 *
 * One thread (-s) is the floor: on two CPUs, pinned apart from eight clients, it answers more
 * requests of every kind than libfuse's thread pool does, whose threads wake each other.
 *
 * usage: memory_fs [-f] [-s] [-o OPTIONS] MOUNTPOINT
 */
#define _GNU_SOURCE
#define FUSE_USE_VERSION 314
#include <errno.h>
#include <fuse_lowlevel.h>
#include <limits.h>
#include <linux/fs.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "memory_tree.h"

static const double TIMEOUT_S = 60.0;
enum { WRITE_BYTES_MAX = 1 << 20, NAME_BYTES_MAX = 255 };

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct node *root;

/* The kernel's number of a node is its address, so finding it costs nothing; st_ino is a count. */
static struct node *node_of(fuse_ino_t inode)
{
    return inode == FUSE_ROOT_ID ? root : (struct node *)(uintptr_t)inode;
}

static struct fuse_entry_param entry_of(struct node *node)
{
    return (struct fuse_entry_param){
        .ino = node == root ? FUSE_ROOT_ID : (fuse_ino_t)(uintptr_t)node,
        .attr = node->attributes,
        .attr_timeout = TIMEOUT_S,
        .entry_timeout = TIMEOUT_S,
    };
}

static void reply_entry(fuse_req_t request, struct node *node)
{
    node->lookups++;
    struct fuse_entry_param entry = entry_of(node);
    pthread_mutex_unlock(&lock);
    fuse_reply_entry(request, &entry);
}

static void reply_error(fuse_req_t request, int error)
{
    pthread_mutex_unlock(&lock);
    fuse_reply_err(request, error);
}

static void init(void *user, struct fuse_conn_info *connection)
{
    (void)user;
    connection->max_write = WRITE_BYTES_MAX;
    connection->max_readahead = WRITE_BYTES_MAX;
}

static void lookup(fuse_req_t request, fuse_ino_t parent, const char *text)
{
    pthread_mutex_lock(&lock);
    struct name *name = name_find(node_of(parent), text);
    if (name)
        reply_entry(request, name->child);
    else
        reply_error(request, strlen(text) > NAME_BYTES_MAX ? ENAMETOOLONG : ENOENT);
}

static void forget_one(fuse_ino_t inode, uint64_t count)
{
    struct node *node = node_of(inode);
    if (node == root)
        return;
    node->lookups -= count;
    node_free_if_unused(node);
}

static void forget(fuse_req_t request, fuse_ino_t inode, uint64_t count)
{
    pthread_mutex_lock(&lock);
    forget_one(inode, count);
    pthread_mutex_unlock(&lock);
    fuse_reply_none(request);
}

static void forget_multi(fuse_req_t request, size_t count, struct fuse_forget_data *forgets)
{
    pthread_mutex_lock(&lock);
    for (size_t i = 0; i < count; i++)
        forget_one(forgets[i].ino, forgets[i].nlookup);
    pthread_mutex_unlock(&lock);
    fuse_reply_none(request);
}

static void getattr(fuse_req_t request, fuse_ino_t inode, struct fuse_file_info *file)
{
    (void)file;
    pthread_mutex_lock(&lock);
    struct stat attributes = node_of(inode)->attributes;
    pthread_mutex_unlock(&lock);
    fuse_reply_attr(request, &attributes, TIMEOUT_S);
}

static void setattr(fuse_req_t request, fuse_ino_t inode, struct stat *wanted, int which,
                    struct fuse_file_info *file)
{
    (void)file;
    pthread_mutex_lock(&lock);
    struct node *node = node_of(inode);
    touch(node, which & FUSE_SET_ATTR_MTIME_NOW);
    if (which & FUSE_SET_ATTR_MODE)
        node->attributes.st_mode = (node->attributes.st_mode & S_IFMT) | (wanted->st_mode & 07777);
    if (which & FUSE_SET_ATTR_UID)
        node->attributes.st_uid = wanted->st_uid;
    if (which & FUSE_SET_ATTR_GID)
        node->attributes.st_gid = wanted->st_gid;
    if (which & FUSE_SET_ATTR_SIZE)
        node_resize(node, (size_t)wanted->st_size);
    if (which & FUSE_SET_ATTR_MTIME)
        node->attributes.st_mtim = wanted->st_mtim;
    if (which & FUSE_SET_ATTR_ATIME)
        node->attributes.st_atim = wanted->st_atim;
    if (which & FUSE_SET_ATTR_ATIME_NOW)
        node->attributes.st_atim = node->attributes.st_ctim;
    struct stat attributes = node->attributes;
    pthread_mutex_unlock(&lock);
    fuse_reply_attr(request, &attributes, TIMEOUT_S);
}

static struct node *make_in(fuse_req_t request, fuse_ino_t parent, const char *text, mode_t mode,
                            dev_t device)
{
    const struct fuse_ctx *who = fuse_req_ctx(request);
    struct node *node = node_make(mode, who->uid, who->gid, device);
    name_add(node_of(parent), text, node);
    return node;
}

/* Why a name cannot be made, or 0. */
static int name_refused(fuse_ino_t parent, const char *text)
{
    if (strlen(text) > NAME_BYTES_MAX)
        return ENAMETOOLONG;
    return name_find(node_of(parent), text) ? EEXIST : 0;
}

static void mknod_(fuse_req_t request, fuse_ino_t parent, const char *text, mode_t mode,
                   dev_t device)
{
    pthread_mutex_lock(&lock);
    int refused = name_refused(parent, text);
    if (refused)
        reply_error(request, refused);
    else
        reply_entry(request, make_in(request, parent, text, mode, device));
}

static void mkdir_(fuse_req_t request, fuse_ino_t parent, const char *text, mode_t mode)
{
    mknod_(request, parent, text, S_IFDIR | mode, 0);
}

static void symlink_(fuse_req_t request, const char *target, fuse_ino_t parent, const char *text)
{
    pthread_mutex_lock(&lock);
    int refused = name_refused(parent, text);
    if (refused) {
        reply_error(request, refused);
        return;
    }
    struct node *node = make_in(request, parent, text, S_IFLNK | 0777, 0);
    node_write(node, target, strlen(target), 0);
    reply_entry(request, node);
}

static void link_(fuse_req_t request, fuse_ino_t inode, fuse_ino_t parent, const char *text)
{
    pthread_mutex_lock(&lock);
    int refused = name_refused(parent, text);
    if (refused) {
        reply_error(request, refused);
        return;
    }
    struct node *node = node_of(inode);
    name_add(node_of(parent), text, node);
    touch(node, false);
    reply_entry(request, node);
}

static void readlink_(fuse_req_t request, fuse_ino_t inode)
{
    pthread_mutex_lock(&lock);
    struct node *node = node_of(inode);
    char target[PATH_MAX] = "";
    struct iovec pieces[PIECES_MAX];
    if (data_pieces(&node->data, 0, sizeof target - 1, pieces))
        memcpy(target, pieces[0].iov_base, pieces[0].iov_len);
    pthread_mutex_unlock(&lock);
    fuse_reply_readlink(request, target);
}

static void remove_name(fuse_req_t request, fuse_ino_t parent, const char *text, bool directory)
{
    pthread_mutex_lock(&lock);
    struct name *name = name_find(node_of(parent), text);
    struct node *child = name ? name->child : NULL;
    int error = 0;
    if (!name)
        error = ENOENT;
    else if (S_ISDIR(child->attributes.st_mode) != directory)
        error = directory ? ENOTDIR : EISDIR;
    else if (directory && !directory_is_empty(child))
        error = ENOTEMPTY;
    if (!error) {
        name_remove(name);
        node_free_if_unused(child);
    }
    reply_error(request, error);
}

static void unlink_(fuse_req_t request, fuse_ino_t parent, const char *text)
{
    remove_name(request, parent, text, false);
}

static void rmdir_(fuse_req_t request, fuse_ino_t parent, const char *text)
{
    remove_name(request, parent, text, true);
}

/* Why the target of a rename cannot be replaced, or 0. */
static int replace_refused(const struct name *target, unsigned flags)
{
    if (flags & RENAME_NOREPLACE)
        return EEXIST;
    if (S_ISDIR(target->child->attributes.st_mode) && !directory_is_empty(target->child))
        return ENOTEMPTY;
    return 0;
}

static void rename_(fuse_req_t request, fuse_ino_t parent, const char *text, fuse_ino_t to_parent,
                    const char *to_text, unsigned flags)
{
    pthread_mutex_lock(&lock);
    struct name *source = name_find(node_of(parent), text);
    struct name *target = name_find(node_of(to_parent), to_text);
    int error = 0;
    if (flags & ~(unsigned)RENAME_NOREPLACE)
        error = EINVAL;
    else if (!source)
        error = ENOENT;
    else if (target)
        error = replace_refused(target, flags);
    if (error || (target && target->child == source->child)) {
        reply_error(request, error);
        return;
    }
    if (target) {
        struct node *replaced = target->child;
        name_remove(target);
        node_free_if_unused(replaced);
    }
    struct node *moved = source->child;
    name_remove(source);
    name_add(node_of(to_parent), to_text, moved);
    reply_error(request, 0);
}

static void open_(fuse_req_t request, fuse_ino_t inode, struct fuse_file_info *file)
{
    pthread_mutex_lock(&lock);
    struct node *node = node_of(inode);
    node->handles++;
    file->keep_cache = 1; /* all changes come through this kernel */
    if (file->flags & O_TRUNC)
        node_resize(node, 0);
    pthread_mutex_unlock(&lock);
    fuse_reply_open(request, file);
}

static void release(fuse_req_t request, fuse_ino_t inode, struct fuse_file_info *file)
{
    (void)file;
    pthread_mutex_lock(&lock);
    struct node *node = node_of(inode);
    node->handles--;
    node_free_if_unused(node);
    reply_error(request, 0);
}

static void create(fuse_req_t request, fuse_ino_t parent, const char *text, mode_t mode,
                   struct fuse_file_info *file)
{
    pthread_mutex_lock(&lock);
    struct name *name = name_find(node_of(parent), text);
    int refused = name_refused(parent, text);
    if (refused && (refused != EEXIST || file->flags & O_EXCL)) {
        reply_error(request, refused);
        return;
    }
    struct node *node = name ? name->child : make_in(request, parent, text, mode, 0);
    node->handles++;
    node->lookups++;
    struct fuse_entry_param entry = entry_of(node);
    pthread_mutex_unlock(&lock);
    fuse_reply_create(request, &entry, file);
}

/* The lock is held while the reply is copied out: another thread may free the chunks. */
static void read_(fuse_req_t request, fuse_ino_t inode, size_t size, off_t offset,
                  struct fuse_file_info *file)
{
    (void)file;
    pthread_mutex_lock(&lock);
    struct iovec pieces[PIECES_MAX];
    int count = data_pieces(&node_of(inode)->data, (size_t)offset, size, pieces);
    fuse_reply_iov(request, pieces, count);
    pthread_mutex_unlock(&lock);
}

static void write_(fuse_req_t request, fuse_ino_t inode, const char *bytes, size_t size,
                   off_t offset, struct fuse_file_info *file)
{
    (void)file;
    pthread_mutex_lock(&lock);
    node_write(node_of(inode), bytes, size, (size_t)offset);
    pthread_mutex_unlock(&lock);
    fuse_reply_write(request, size);
}

static void fsync_(fuse_req_t request, fuse_ino_t inode, int data_only, struct fuse_file_info *file)
{
    (void)inode, (void)data_only, (void)file;
    fuse_reply_err(request, 0);
}

/* The next entry of a directory at or after `*cookie`; 0 is ".", 1 is "..", then its names. */
static struct node *next_entry(struct node *directory, size_t *cookie, const char **text)
{
    if (*cookie < 2) {
        *text = *cookie ? ".." : ".";
        return *cookie && directory->parent ? directory->parent : directory;
    }
    while (*cookie - 2 < directory->names_used && !directory->names[*cookie - 2])
        ++*cookie;
    if (*cookie - 2 >= directory->names_used)
        return NULL;
    struct name *name = directory->names[*cookie - 2];
    *text = name->text;
    return name->child;
}

static void list(fuse_req_t request, fuse_ino_t inode, size_t size, off_t offset, bool plus)
{
    char *buffer = malloc(size);
    if (!buffer)
        abort();
    size_t used = 0, cookie = (size_t)offset;
    const char *text;
    struct node *child;
    pthread_mutex_lock(&lock);
    while ((child = next_entry(node_of(inode), &cookie, &text))) {
        struct fuse_entry_param entry = entry_of(child);
        off_t next = (off_t)cookie + 1;
        size_t needed =
            plus ? fuse_add_direntry_plus(request, buffer + used, size - used, text, &entry, next)
                 : fuse_add_direntry(request, buffer + used, size - used, text, &entry.attr, next);
        if (needed > size - used)
            break;
        if (plus && cookie >= 2)
            child->lookups++;
        used += needed;
        cookie++;
    }
    pthread_mutex_unlock(&lock);
    fuse_reply_buf(request, buffer, used);
    free(buffer);
}

static void readdir_(fuse_req_t request, fuse_ino_t inode, size_t size, off_t offset,
                     struct fuse_file_info *file)
{
    (void)file;
    list(request, inode, size, offset, false);
}

static void readdirplus(fuse_req_t request, fuse_ino_t inode, size_t size, off_t offset,
                        struct fuse_file_info *file)
{
    (void)file;
    list(request, inode, size, offset, true);
}

static void statfs_(fuse_req_t request, fuse_ino_t inode)
{
    (void)inode;
    struct statvfs space = {
        .f_bsize = 4096,
        .f_frsize = 4096,
        .f_blocks = 1 << 28,
        .f_bfree = 1 << 27,
        .f_bavail = 1 << 27,
        .f_files = 1 << 28,
        .f_ffree = (1 << 28) - node_count,
        .f_namemax = NAME_BYTES_MAX,
    };
    fuse_reply_statfs(request, &space);
}

static void setxattr_(fuse_req_t request, fuse_ino_t inode, const char *name, const char *value,
                      size_t size, int flags)
{
    pthread_mutex_lock(&lock);
    struct node *node = node_of(inode);
    bool present = (flags & (XATTR_CREATE | XATTR_REPLACE)) && xattr_find(node, name);
    int error = 0;
    if (present && flags & XATTR_CREATE)
        error = EEXIST;
    else if (!present && flags & XATTR_REPLACE)
        error = ENODATA;
    else
        xattr_put(node, name, value, size);
    reply_error(request, error);
}

static void reply_sized(fuse_req_t request, const char *bytes, size_t size, size_t room)
{
    if (!room)
        fuse_reply_xattr(request, size);
    else if (room < size)
        fuse_reply_err(request, ERANGE);
    else
        fuse_reply_buf(request, bytes, size);
}

static void getxattr_(fuse_req_t request, fuse_ino_t inode, const char *name, size_t room)
{
    pthread_mutex_lock(&lock);
    struct xattr *xattr = xattr_find(node_of(inode), name);
    if (xattr)
        reply_sized(request, xattr->value, xattr->size, room);
    else
        fuse_reply_err(request, ENODATA);
    pthread_mutex_unlock(&lock);
}

static void listxattr_(fuse_req_t request, fuse_ino_t inode, size_t room)
{
    char names[65536];
    size_t size = 0;
    pthread_mutex_lock(&lock);
    for (struct xattr *xattr = node_of(inode)->xattrs; xattr; xattr = xattr->next) {
        size_t name_size = strlen(xattr->name) + 1;
        if (size + name_size > sizeof names)
            break;
        memcpy(names + size, xattr->name, name_size);
        size += name_size;
    }
    pthread_mutex_unlock(&lock);
    reply_sized(request, names, size, room);
}

static void removexattr_(fuse_req_t request, fuse_ino_t inode, const char *name)
{
    pthread_mutex_lock(&lock);
    reply_error(request, xattr_remove(node_of(inode), name) ? 0 : ENODATA);
}

static const struct fuse_lowlevel_ops operations = {
    .init = init,
    .lookup = lookup,
    .forget = forget,
    .forget_multi = forget_multi,
    .getattr = getattr,
    .setattr = setattr,
    .readlink = readlink_,
    .mknod = mknod_,
    .mkdir = mkdir_,
    .unlink = unlink_,
    .rmdir = rmdir_,
    .symlink = symlink_,
    .rename = rename_,
    .link = link_,
    .open = open_,
    .read = read_,
    .write = write_,
    .release = release,
    .fsync = fsync_,
    .opendir = open_,
    .readdir = readdir_,
    .readdirplus = readdirplus,
    .releasedir = release,
    .fsyncdir = fsync_,
    .statfs = statfs_,
    .setxattr = setxattr_,
    .getxattr = getxattr_,
    .listxattr = listxattr_,
    .removexattr = removexattr_,
    .create = create,
};

static int serve(struct fuse_session *session, const struct fuse_cmdline_opts *options)
{
    if (options->singlethread)
        return fuse_session_loop(session);
    struct fuse_loop_config *config = fuse_loop_cfg_create();
    fuse_loop_cfg_set_clone_fd(config, (unsigned)options->clone_fd);
    int status = fuse_session_loop_mt(session, config);
    fuse_loop_cfg_destroy(config);
    return status;
}

int main(int argc, char **argv)
{
    struct fuse_args arguments = FUSE_ARGS_INIT(argc, argv);
    struct fuse_cmdline_opts options;
    if (fuse_parse_cmdline(&arguments, &options) || !options.mountpoint)
        return 2;
    root = node_make(S_IFDIR | 0755, getuid(), getgid(), 0);
    root->attributes.st_nlink = 2;
    struct fuse_session *session =
        fuse_session_new(&arguments, &operations, sizeof operations, NULL);
    if (!session || fuse_set_signal_handlers(session))
        return 1;
    if (fuse_session_mount(session, options.mountpoint))
        return 1;
    fuse_daemonize(options.foreground);
    int status = serve(session, &options);
    fuse_session_unmount(session);
    fuse_remove_signal_handlers(session);
    fuse_session_destroy(session);
    free(options.mountpoint);
    fuse_opt_free_args(&arguments);
    return status ? 1 : 0;
}
