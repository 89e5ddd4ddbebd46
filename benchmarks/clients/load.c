/* A load generator: N operations of one kind from each of P processes, every one of them timed.
 *
 * usage: load OPERATION DIRECTORY PROCESSES COUNT [DAEMON_PID]
 *        load --list
 *
 * Each process works in a directory of its own below DIRECTORY.  It prepares (files to open, names
 * to look up) outside the measurement, waits for the others, runs COUNT operations, and removes
 * what it made.  One JSON object goes to standard output: operations per second over the time from
 * the first start to the last end, the latencies' median, 99th percentile and maximum in ns, and the
 * CPU time per operation of the clients and of the daemon, kernel included.
 */
#define _GNU_SOURCE
#include "operations.h"

#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum {
    PROCESSES_MAX = 256,
    SETTLE_US = 50000, /* for the daemon to work off the forgets of a dropped cache */
};

struct shared {
    pthread_barrier_t barrier;
    uint64_t started_ns[PROCESSES_MAX];
    uint64_t ended_ns[PROCESSES_MAX];
    uint64_t cpu_ns[PROCESSES_MAX];
    uint64_t daemon_cpu_ns;
    uint32_t latencies_ns[]; /* of process p from p * count */
};

static struct shared *shared;
static const char *daemon_pid; /* or NULL */

static uint64_t time_ns(clockid_t clock)
{
    struct timespec now;
    clock_gettime(clock, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static uint64_t now_ns(void)
{
    return time_ns(CLOCK_MONOTONIC);
}

/* The CPU time of all threads that the daemon has now, to the nanosecond while it sleeps. */
static uint64_t daemon_cpu_ns(void)
{
    char path[PATH_MAX];
    snprintf(path, sizeof path, "/proc/%s/task", daemon_pid ? daemon_pid : "none");
    DIR *threads = opendir(path);
    uint64_t all = 0;
    for (struct dirent *thread; threads && (thread = readdir(threads));) {
        uint64_t spent = 0;
        if (thread->d_name[0] == '.') /* `..` would count the first thread again */
            continue;
        snprintf(path, sizeof path, "/proc/%s/task/%s/schedstat", daemon_pid, thread->d_name);
        FILE *statistics = fopen(path, "r");
        if (statistics && fscanf(statistics, "%lu", &spent) == 1)
            all += spent;
        if (statistics)
            fclose(statistics);
    }
    if (threads)
        closedir(threads);
    return all;
}

static void *shared_memory(size_t size)
{
    void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE,
                        MAP_SHARED | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
    check(memory != MAP_FAILED, "mmap");
    return memory;
}

static void meet(void)
{
    pthread_barrier_wait(&shared->barrier);
}

static void measure(const struct operation *operation, unsigned process)
{
    uint32_t *latencies = shared->latencies_ns + process * count;
    uint64_t cpu_before_ns = time_ns(CLOCK_PROCESS_CPUTIME_ID);
    shared->started_ns[process] = now_ns();
    for (size_t i = 0; i < count; i++) {
        if (operation->before)
            operation->before(i);
        uint64_t start = now_ns();
        operation->run(i);
        uint64_t taken = now_ns() - start;
        latencies[i] = taken > UINT32_MAX ? UINT32_MAX : (uint32_t)taken;
        if (operation->after)
            operation->after(i);
    }
    shared->ended_ns[process] = now_ns();
    shared->cpu_ns[process] = time_ns(CLOCK_PROCESS_CPUTIME_ID) - cpu_before_ns;
}

static void drop_names(void)
{
    int drop = open("/proc/sys/vm/drop_caches", O_WRONLY);
    check(drop >= 0 && write(drop, "2", 1) == 1, "dropping the kernel's names (needs root)");
    close(drop);
    usleep(SETTLE_US);
}

static void work(const struct operation *operation, const char *directory, unsigned process)
{
    char own[PATH_MAX];
    snprintf(own, sizeof own, "%s/load-%u", directory, process);
    check(mkdir(own, 0755) == 0, own);
    check(chdir(own) == 0, own);
    check(posix_memalign((void **)&bytes, PAGE_BYTES, STREAM_BYTES) == 0, "memory");
    for (size_t i = 0; i < STREAM_BYTES; i++)
        bytes[i] = (char)(i * 2654435761u >> 13);
    operation->prepare();
    meet(); /* all are prepared */
    if (operation->drop_names && process == 0)
        drop_names();
    if (process == 0)
        shared->daemon_cpu_ns = daemon_cpu_ns();
    meet(); /* the names are dropped */
    measure(operation, process);
    meet(); /* all have measured */
    if (process == 0)
        shared->daemon_cpu_ns = daemon_cpu_ns() - shared->daemon_cpu_ns;
    meet(); /* so cleaning is not counted */
    operation->clean();
    check(chdir("/") == 0, "chdir");
    rmdir(own);
    _exit(0);
}

static int by_value(const void *left, const void *right)
{
    uint32_t a = *(const uint32_t *)left, b = *(const uint32_t *)right;
    return (a > b) - (a < b);
}

static void report(const struct operation *operation, unsigned processes)
{
    size_t all = processes * count;
    uint64_t first = UINT64_MAX, last = 0, client_cpu_ns = 0;
    for (unsigned p = 0; p < processes; p++) {
        first = shared->started_ns[p] < first ? shared->started_ns[p] : first;
        last = shared->ended_ns[p] > last ? shared->ended_ns[p] : last;
        client_cpu_ns += shared->cpu_ns[p];
    }
    double seconds = (double)(last - first) / 1e9;
    qsort(shared->latencies_ns, all, sizeof *shared->latencies_ns, by_value);
    printf("{\"operation\": \"%s\", \"processes\": %u, \"operations\": %zu, \"seconds\": %.6f, "
           "\"per_second\": %.1f, \"mib_per_second\": %.2f, "
           "\"p50_ns\": %u, \"p99_ns\": %u, \"max_ns\": %u, "
           "\"client_cpu_ns\": %.0f, \"daemon_cpu_ns\": %.0f}\n",
           operation->name, processes, all, seconds, (double)all / seconds,
           (double)(all * operation->bytes_each) / seconds / (1 << 20),
           shared->latencies_ns[all / 2], shared->latencies_ns[all * 99 / 100],
           shared->latencies_ns[all - 1], (double)client_cpu_ns / (double)all,
           (double)shared->daemon_cpu_ns / (double)all);
}

/* One child that failed would leave the others at the barrier for ever: end them. */
static int collect(const pid_t *children, unsigned processes)
{
    for (unsigned left = processes; left; left--) {
        int status;
        check(wait(&status) > 0, "wait");
        if (!WIFEXITED(status) || WEXITSTATUS(status)) {
            for (unsigned p = 0; p < processes; p++)
                kill(children[p], SIGKILL);
            return 1;
        }
    }
    return 0;
}

static int run(const struct operation *operation, const char *directory, unsigned processes)
{
    check(directory != NULL, "directory");
    size_t size = sizeof *shared + processes * count * sizeof *shared->latencies_ns;
    shared = shared_memory(size);
    pthread_barrierattr_t attributes;
    pthread_barrierattr_init(&attributes);
    pthread_barrierattr_setpshared(&attributes, PTHREAD_PROCESS_SHARED);
    pthread_barrier_init(&shared->barrier, &attributes, processes);
    pid_t children[PROCESSES_MAX];
    for (unsigned p = 0; p < processes; p++) {
        children[p] = fork();
        check(children[p] >= 0, "fork");
        if (!children[p])
            work(operation, directory, p);
    }
    if (collect(children, processes))
        return 1;
    report(operation, processes);
    return 0;
}

int main(int argc, char **argv)
{
    if (argc == 2 && !strcmp(argv[1], "--list")) {
        for (size_t i = 0; i < operations_known; i++)
            puts(operations[i].name);
        return 0;
    }
    bool complete = argc == 5 || argc == 6;
    unsigned processes = complete ? (unsigned)atoi(argv[3]) : 0;
    count = complete ? (size_t)atoll(argv[4]) : 0;
    daemon_pid = argc == 6 ? argv[5] : NULL;
    if (!count || !processes || processes > PROCESSES_MAX) {
        fprintf(stderr, "usage: load OPERATION DIRECTORY PROCESSES COUNT [DAEMON_PID]\n"
                        "       load --list\n");
        return 2;
    }
    for (size_t i = 0; i < operations_known; i++)
        if (!strcmp(operations[i].name, argv[1]))
            return run(&operations[i], realpath(argv[2], NULL), processes);
    fprintf(stderr, "load: no such operation: %s\n", argv[1]);
    return 2;
}
