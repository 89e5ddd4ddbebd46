/* What each operation prepares, does and removes, in the current directory. */
#define _GNU_SOURCE
#include "operations.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

enum {
    SMALL_FILE_BYTES = 1024,
    XATTR_BYTES = 1536,
    SHARED_FILES = 64,       /* files that open, getxattr and setxattr go round */
    PAGED_FILE_PAGES = 2048, /* the file that 4 KiB reads and writes go round */
    LISTED_ENTRIES = 1000,   /* entries of the directory that readdir lists */
};

size_t count;
char *bytes;

static int file = -1; /* of the operations that work in one file */

static void fail(const char *what)
{
    fprintf(stderr, "load: %s: %s\n", what, strerror(errno));
    _exit(1);
}

void check(bool good, const char *what)
{
    if (!good)
        fail(what);
}

/* ---- names and files, made relative to the process's own directory -------------------------- */

static const char *numbered(char kind, size_t number)
{
    static char text[2][32];
    static int turn;
    turn = !turn;
    snprintf(text[turn], sizeof text[turn], "%c%zu", kind, number);
    return text[turn];
}

static void make_file(const char *name, size_t size)
{
    int made = open(name, O_CREAT | O_EXCL | O_WRONLY, 0644);
    check(made >= 0, "create");
    check(!size || write(made, bytes, size) == (ssize_t)size, "write");
    close(made);
}

static void make_files(size_t number, size_t size)
{
    for (size_t i = 0; i < number; i++)
        make_file(numbered('f', i), size);
}

static void remove_files(char kind, size_t number)
{
    for (size_t i = 0; i < number; i++)
        unlink(numbered(kind, i));
}

static void open_paged(int flags)
{
    file = open("paged", O_CREAT | O_RDWR, 0644);
    check(file >= 0, "create");
    for (size_t page = 0; page < PAGED_FILE_PAGES; page += STREAM_BYTES / PAGE_BYTES)
        check(pwrite(file, bytes, STREAM_BYTES, (off_t)page * PAGE_BYTES) == STREAM_BYTES, "write");
    close(file);
    file = open("paged", O_RDWR | flags);
    check(file >= 0, "open");
}

/* An odd stride visits every page of the file once, out of order. */
static off_t scattered(size_t i)
{
    return (off_t)(i * 1037 % PAGED_FILE_PAGES) * PAGE_BYTES;
}

static void drop_pages(void)
{
    check(posix_fadvise(file, 0, 0, POSIX_FADV_DONTNEED) == 0, "fadvise");
}

/* ---- the operations ------------------------------------------------------------------------- */

static void prepare_nothing(void)
{
}

static void prepare_files(void)
{
    make_files(count, 0);
}

static void prepare_shared_files(void)
{
    make_files(SHARED_FILES, 0);
}

static void clean_files(void)
{
    remove_files('f', count);
}

static void clean_shared_files(void)
{
    remove_files('f', SHARED_FILES);
}

static void create_close(size_t i)
{
    int made = open(numbered('f', i), O_CREAT | O_EXCL | O_WRONLY, 0644);
    check(made >= 0, "create");
    close(made);
}

static void small_file(size_t i)
{
    make_file(numbered('f', i), SMALL_FILE_BYTES);
}

static void stat_cached(size_t i)
{
    struct stat status;
    check(stat(numbered('f', i % SHARED_FILES), &status) == 0, "stat");
}

/* The flag makes FUSE ask the daemon, whatever timeout it gave: one GETATTR each. */
static void stat_uncached(size_t i)
{
    struct statx status;
    check(statx(AT_FDCWD, numbered('f', i % SHARED_FILES), AT_STATX_FORCE_SYNC, STATX_BASIC_STATS,
                &status) == 0,
          "statx");
}

/* Every name for the first time since the kernel's names were dropped: one LOOKUP each. */
static void stat_name(size_t i)
{
    struct stat status;
    check(stat(numbered('f', i), &status) == 0, "stat");
}

static void lookup_missing(size_t i)
{
    struct stat status;
    check(stat(numbered('m', i), &status) < 0 && errno == ENOENT, "lookup of a missing name");
}

static void lookup_missing_again(size_t i)
{
    lookup_missing(i % SHARED_FILES);
}

static void open_close(size_t i)
{
    int opened = open(numbered('f', i % SHARED_FILES), O_RDONLY);
    check(opened >= 0, "open");
    close(opened);
}

static void unlink_one(size_t i)
{
    check(unlink(numbered('f', i)) == 0, "unlink");
}

static void rename_one(size_t i)
{
    check(rename(numbered('f', i), numbered('r', i)) == 0, "rename");
}

static void clean_renamed(void)
{
    remove_files('r', count);
}

static void mkdir_one(size_t i)
{
    check(mkdir(numbered('d', i), 0755) == 0, "mkdir");
}

static void clean_directories(void)
{
    for (size_t i = 0; i < count; i++)
        rmdir(numbered('d', i));
}

static void prepare_listed(void)
{
    make_files(LISTED_ENTRIES, 0);
}

static void clean_listed(void)
{
    remove_files('f', LISTED_ENTRIES);
}

static void readdir_all(size_t i)
{
    (void)i;
    size_t entries = 0;
    DIR *directory = opendir(".");
    check(directory != NULL, "opendir");
    while (readdir(directory))
        entries++;
    closedir(directory);
    check(entries == LISTED_ENTRIES + 2, "readdir");
}

static void prepare_paged(void)
{
    open_paged(0);
}

/* FADV_RANDOM turns readahead off, so that each miss is one READ of 4 KiB. */
static void prepare_paged_cold(void)
{
    open_paged(0);
    check(posix_fadvise(file, 0, 0, POSIX_FADV_RANDOM) == 0, "fadvise");
    drop_pages();
}

static void prepare_paged_direct(void)
{
    open_paged(O_DIRECT);
}

static void clean_paged(void)
{
    close(file);
    unlink("paged");
}

static void read_4k_cold(size_t i)
{
    if (i && i % PAGED_FILE_PAGES == 0)
        drop_pages();
    check(pread(file, bytes, PAGE_BYTES, scattered(i)) == PAGE_BYTES, "read");
}

static void read_4k_direct(size_t i)
{
    check(pread(file, bytes, PAGE_BYTES, scattered(i)) == PAGE_BYTES, "read");
}

static void write_4k(size_t i)
{
    off_t offset = (off_t)(i % PAGED_FILE_PAGES) * PAGE_BYTES;
    check(pwrite(file, bytes, PAGE_BYTES, offset) == PAGE_BYTES, "write");
}

static void setxattr_1k5(size_t i)
{
    check(setxattr(numbered('f', i % SHARED_FILES), "user.load", bytes, XATTR_BYTES, 0) == 0,
          "setxattr");
}

static void prepare_xattrs(void)
{
    prepare_shared_files();
    for (size_t i = 0; i < SHARED_FILES; i++)
        setxattr_1k5(i);
}

static void getxattr_1k5(size_t i)
{
    ssize_t size =
        getxattr(numbered('f', i % SHARED_FILES), "user.load", bytes, STREAM_BYTES / 16);
    check(size == XATTR_BYTES, "getxattr");
}

static void prepare_stream_write(void)
{
    file = open("stream", O_CREAT | O_EXCL | O_RDWR, 0644);
    check(file >= 0, "create");
}

static void write_1m(size_t i)
{
    ssize_t size = pwrite(file, bytes, STREAM_BYTES, (off_t)i * STREAM_BYTES);
    check(size == STREAM_BYTES, "write");
}

static void prepare_stream_read(void)
{
    prepare_stream_write();
    for (size_t i = 0; i < count; i++)
        write_1m(i);
    drop_pages();
}

static void read_1m(size_t i)
{
    ssize_t size = pread(file, bytes, STREAM_BYTES, (off_t)i * STREAM_BYTES);
    check(size == STREAM_BYTES, "read");
}

static void clean_stream(void)
{
    close(file);
    unlink("stream");
}

/* A small file made and written outside the measurement; only its fsync is timed. */
static void before_fsync(size_t i)
{
    file = open(numbered('f', i), O_CREAT | O_EXCL | O_WRONLY, 0644);
    check(file >= 0, "create");
    check(write(file, bytes, SMALL_FILE_BYTES) == SMALL_FILE_BYTES, "write");
}

static void fsync_one(size_t i)
{
    (void)i;
    check(fsync(file) == 0, "fsync");
}

static void after_fsync(size_t i)
{
    (void)i;
    close(file);
}

/* What a log can hope for: bytes overwritten in place, so that no metadata has to be written. */
static void prepare_overwrite(void)
{
    open_paged(0);
    check(fsync(file) == 0, "fsync");
}

static void fdatasync_one(size_t i)
{
    (void)i;
    check(fdatasync(file) == 0, "fdatasync");
}

const struct operation operations[] = {
    {"create_close", prepare_nothing, create_close, clean_files, .bytes_each = 0},
    {"small_files", prepare_nothing, small_file, clean_files, .bytes_each = SMALL_FILE_BYTES},
    {"stat_cached", prepare_shared_files, stat_cached, clean_shared_files, .bytes_each = 0},
    {"stat_uncached", prepare_shared_files, stat_uncached, clean_shared_files, .bytes_each = 0},
    {"stat_name", prepare_files, stat_name, clean_files, .drop_names = true},
    {"lookup_missing", prepare_nothing, lookup_missing, prepare_nothing, .bytes_each = 0},
    {"lookup_missing_again", prepare_nothing, lookup_missing_again, prepare_nothing,
     .bytes_each = 0},
    {"open_close", prepare_shared_files, open_close, clean_shared_files, .bytes_each = 0},
    {"unlink", prepare_files, unlink_one, clean_files, .bytes_each = 0},
    {"rename", prepare_files, rename_one, clean_renamed, .bytes_each = 0},
    {"mkdir", prepare_nothing, mkdir_one, clean_directories, .bytes_each = 0},
    {"readdir", prepare_listed, readdir_all, clean_listed, .bytes_each = 0},
    {"read_4k_cold", prepare_paged_cold, read_4k_cold, clean_paged, .bytes_each = PAGE_BYTES},
    {"read_4k_direct", prepare_paged_direct, read_4k_direct, clean_paged,
     .bytes_each = PAGE_BYTES},
    {"write_4k", prepare_paged, write_4k, clean_paged, .bytes_each = PAGE_BYTES},
    {"getxattr", prepare_xattrs, getxattr_1k5, clean_shared_files, .bytes_each = XATTR_BYTES},
    {"setxattr", prepare_shared_files, setxattr_1k5, clean_shared_files,
     .bytes_each = XATTR_BYTES},
    {"write_1m", prepare_stream_write, write_1m, clean_stream, .bytes_each = STREAM_BYTES},
    {"read_1m", prepare_stream_read, read_1m, clean_stream, .bytes_each = STREAM_BYTES},
    {"fsync", prepare_nothing, fsync_one, clean_files, before_fsync, after_fsync,
     .bytes_each = SMALL_FILE_BYTES},
    {"fdatasync", prepare_overwrite, fdatasync_one, clean_paged, write_4k,
     .bytes_each = PAGE_BYTES},
};

const size_t operations_known = sizeof operations / sizeof *operations;
