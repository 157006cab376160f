// Counts heap allocations of the proxy's worker threads, for `Tools/bench allocations`: preloaded, it stands in front of malloc and its like.
// Those that OpenSSL makes are counted apart: it allocates with every record that it reads or writes, whoever uses it. Its allocator ends in
// a jump to malloc, so that the caller is libssl or libcrypto.
// The real-time signal SIGRTMIN + 5, which skein leaves alone, writes "OURS OPENSSL" to the file that ALLOCATIONS names.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <link.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static _Atomic long counted, countedOpenSSL;
/// Where the code of libssl and of libcrypto is.
static struct { unsigned long start, end; } libraries[2];
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

static void note(void *caller) {
    if (!worker()) return;
    unsigned long place = (unsigned long)caller;
    for (int which = 0; which < 2; which++) {
        if (place < libraries[which].start || place >= libraries[which].end) continue;
        countedOpenSSL++;
        return;
    }
    counted++;
}
#define COUNT() note(__builtin_return_address(0))

void *malloc(size_t size) { COUNT(); return __libc_malloc(size); }
void *calloc(size_t count, size_t size) { COUNT(); return __libc_calloc(count, size); }
void *realloc(void *memory, size_t size) { COUNT(); return __libc_realloc(memory, size); }
void *aligned_alloc(size_t alignment, size_t size) { COUNT(); return __libc_memalign(alignment, size); }
int posix_memalign(void **out, size_t alignment, size_t size) {
    COUNT();
    *out = __libc_memalign(alignment, size);
    return *out ? 0 : 12;
}

static void report(int signal) {
    (void)signal;
    char line[64];
    int length = snprintf(line, sizeof line, "%ld %ld\n", (long)counted, (long)countedOpenSSL);
    int file = open(getenv("ALLOCATIONS"), O_WRONLY | O_CREAT | O_TRUNC, 0600);
    if (file >= 0) { ssize_t ignored = write(file, line, length); (void)ignored; close(file); }
}

static int look(struct dl_phdr_info *library, size_t size, void *unused) {
    (void)size;
    (void)unused;
    int which = strstr(library->dlpi_name, "libssl.so") ? 0 : strstr(library->dlpi_name, "libcrypto.so") ? 1 : -1;
    if (which < 0) return 0;
    for (int part = 0; part < library->dlpi_phnum; part++) {
        const ElfW(Phdr) *header = &library->dlpi_phdr[part];
        if (header->p_type != PT_LOAD || !(header->p_flags & PF_X)) continue;
        libraries[which].start = library->dlpi_addr + header->p_vaddr;
        libraries[which].end = libraries[which].start + header->p_memsz;
    }
    return 0;
}

__attribute__((constructor)) static void begin(void) {
    dl_iterate_phdr(look, NULL);
    signal(SIGRTMIN + 5, report);
}
