// Counts heap allocations of the proxy's worker threads, for `Tools/bench allocations`: preloaded, it stands in front of malloc and its like.
// The real-time signal SIGRTMIN + 5, which skein leaves alone, writes "worker allocations: N" to the file that ALLOCATIONS names.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static _Atomic long counted;
static __thread int is_worker = -1;

static int worker(void) {
    if (is_worker < 0) {
        char name[16] = "";
        pthread_getname_np(pthread_self(), name, sizeof name);
        // A thread gets its name after its first allocations; look again until it has one.
        if (strcmp(name, "skein") == 0) return 0;
        is_worker = strncmp(name, "worker-", 7) == 0;
    }
    return is_worker;
}

extern void *__libc_malloc(size_t);
extern void *__libc_calloc(size_t, size_t);
extern void *__libc_realloc(void *, size_t);
extern void *__libc_memalign(size_t, size_t);

void *malloc(size_t size) { if (worker()) counted++; return __libc_malloc(size); }
void *calloc(size_t count, size_t size) { if (worker()) counted++; return __libc_calloc(count, size); }
void *realloc(void *memory, size_t size) { if (worker()) counted++; return __libc_realloc(memory, size); }
void *aligned_alloc(size_t alignment, size_t size) { if (worker()) counted++; return __libc_memalign(alignment, size); }
int posix_memalign(void **out, size_t alignment, size_t size) {
    if (worker()) counted++;
    *out = __libc_memalign(alignment, size);
    return *out ? 0 : 12;
}

static void report(int signal) {
    (void)signal;
    char line[64];
    int length = snprintf(line, sizeof line, "%ld\n", (long)counted);
    int file = open(getenv("ALLOCATIONS"), O_WRONLY | O_CREAT | O_TRUNC, 0600);
    if (file >= 0) { ssize_t ignored = write(file, line, length); (void)ignored; close(file); }
}

__attribute__((constructor)) static void begin(void) { signal(SIGRTMIN + 5, report); }
