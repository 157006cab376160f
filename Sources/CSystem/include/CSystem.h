#ifndef SKEIN_CSYSTEM_H
#define SKEIN_CSYSTEM_H
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <stdint.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <errno.h>
#include <signal.h>
#include <time.h>
#include <unistd.h>

// accept4 hides behind _GNU_SOURCE, which Swift's Glibc module does not set, and takes a transparent union.
static inline int skein_accept4(int fd, struct sockaddr *address, socklen_t *length, int flags) {
    return accept4(fd, address, length, flags);
}
// bind, connect and getsockname take glibc's transparent unions of sockaddr pointers under _GNU_SOURCE.
static inline int skein_bind(int fd, const struct sockaddr *address, socklen_t length) { return bind(fd, address, length); }
static inline int skein_connect(int fd, const struct sockaddr *address, socklen_t length) { return connect(fd, address, length); }
static inline int skein_getsockname(int fd, struct sockaddr *address, socklen_t *length) { return getsockname(fd, address, length); }
static inline int skein_getpeername(int fd, struct sockaddr *address, socklen_t *length) { return getpeername(fd, address, length); }
// epoll_event carries an anonymous packed union; these read and write its 64-bit member.
static inline int skein_epoll_ctl(int epoll, int operation, int fd, uint32_t events, uint64_t token) {
    struct epoll_event event = {.events = events, .data = {.u64 = token}};
    return epoll_ctl(epoll, operation, fd, &event);
}
static inline uint64_t skein_epoll_token(const struct epoll_event *event) { return event->data.u64; }
static inline uint32_t skein_epoll_events(const struct epoll_event *event) { return event->events; }
// errno is a macro over a function call; Swift sees it only through Glibc, which lower layers do without.
static inline int skein_errno(void) { return errno; }
#endif
