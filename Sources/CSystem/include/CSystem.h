#ifndef SKEIN_CSYSTEM_H
#define SKEIN_CSYSTEM_H
#include <stdint.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <sys/file.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <pthread.h>
#include <signal.h>
#include <time.h>
#include <unistd.h>

// accept4 and pthread_setname_np hide behind _GNU_SOURCE. Defining it here would give structures of the same name other members than in
// Swift's Glibc module, which Clang refuses in one program: so they are declared by hand.
extern int accept4(int fd, struct sockaddr *address, socklen_t *length, int flags);
extern int pthread_setname_np(pthread_t thread, const char *name);
// So do splice, pipe2 and F_SETPIPE_SZ (1031).
extern ssize_t splice(int in, int64_t *in_offset, int out, int64_t *out_offset, size_t count, unsigned int flags);
extern int pipe2(int ends[2], int flags);
static inline int skein_pipe(int ends[2]) { return pipe2(ends, O_NONBLOCK | O_CLOEXEC); }
static inline int skein_set_pipe_size(int fd, int bytes) { return fcntl(fd, 1031, bytes); }
// SPLICE_F_MOVE | SPLICE_F_NONBLOCK, and SPLICE_F_MORE when more will follow.
static inline ssize_t skein_splice(int in, int out, size_t count, int more_follows) {
    return splice(in, NULL, out, NULL, count, more_follows ? 7 : 3);
}
// The C library's recv and send are cancellation points: around each call of a program with threads they set and reset the thread's cancellation state by
// atomic operations. No thread here is ever cancelled, so the kernel is asked straight away.
static inline ssize_t skein_recv(int fd, void *buffer, size_t count) {
    return syscall(SYS_recvfrom, fd, buffer, count, 0, NULL, NULL);
}

static inline ssize_t skein_send(int fd, const void *buffer, size_t count) {
    return syscall(SYS_sendto, fd, buffer, count, MSG_NOSIGNAL, NULL, 0);
}

// prctl is variadic, which Swift cannot call.
static inline int skein_forbid_dumps(void) { return prctl(PR_SET_DUMPABLE, 0, 0, 0, 0); }

static inline int skein_accept4(int fd, struct sockaddr *address, socklen_t *length, int flags) {
    return accept4(fd, address, length, flags);
}
// Plain pointers where glibc may declare a transparent union of sockaddr pointers.
static inline int skein_bind(int fd, const struct sockaddr *address, socklen_t length) { return bind(fd, address, length); }
static inline int skein_connect(int fd, const struct sockaddr *address, socklen_t length) { return connect(fd, address, length); }
static inline int skein_getsockname(int fd, struct sockaddr *address, socklen_t *length) { return getsockname(fd, address, length); }
// SO_ORIGINAL_DST and IP6T_SO_ORIGINAL_DST are both 80; <linux/netfilter_ipv4.h> brings conflicting headers.
static inline int skein_original_destination(int fd, int is_ipv6, struct sockaddr *address, socklen_t *length) {
    return getsockopt(fd, is_ipv6 ? IPPROTO_IPV6 : IPPROTO_IP, 80, address, length);
}
static inline int skein_getpeername(int fd, struct sockaddr *address, socklen_t *length) { return getpeername(fd, address, length); }
// epoll_event carries an anonymous packed union; these read and write its 64-bit member.
static inline int skein_epoll_ctl(int epoll, int operation, int fd, uint32_t events, uint64_t token) {
    struct epoll_event event = {.events = events, .data = {.u64 = token}};
    return epoll_ctl(epoll, operation, fd, &event);
}
// A compiler builtin, which Swift does not show: asks for the cache line at `address`, whatever lies there.
static inline void skein_prefetch(const void *address) { __builtin_prefetch(address); }
static inline uint64_t skein_epoll_token(const struct epoll_event *event) { return event->data.u64; }
static inline uint32_t skein_epoll_events(const struct epoll_event *event) { return event->events; }
// errno is a macro over a function call; Swift sees it only through Glibc, which lower layers do without.
static inline int skein_errno(void) { return errno; }
static inline void skein_set_thread_name(const char *name) { pthread_setname_np(pthread_self(), name); }
// CMSG_SPACE, CMSG_FIRSTHDR and CMSG_DATA are macros over alignment. One message with up to 64 descriptors (SCM_RIGHTS, unix(7)).
#define SKEIN_DESCRIPTORS_MAX 64
static inline ssize_t skein_send_descriptors(int fd, const void *bytes, size_t count, const int *descriptors, int descriptor_count) {
    struct iovec part = {.iov_base = (void *)bytes, .iov_len = count};
    union { char bytes[CMSG_SPACE(SKEIN_DESCRIPTORS_MAX * sizeof(int))]; struct cmsghdr aligned; } control;
    struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};
    if (descriptor_count > 0) {
        message.msg_control = control.bytes;
        message.msg_controllen = CMSG_SPACE(descriptor_count * sizeof(int));
        struct cmsghdr *header = CMSG_FIRSTHDR(&message);
        header->cmsg_level = SOL_SOCKET;
        header->cmsg_type = SCM_RIGHTS;
        header->cmsg_len = CMSG_LEN(descriptor_count * sizeof(int));
        __builtin_memcpy(CMSG_DATA(header), descriptors, descriptor_count * sizeof(int));
    }
    return sendmsg(fd, &message, MSG_NOSIGNAL);
}
static inline ssize_t skein_receive_descriptors(int fd, void *bytes, size_t count, int *descriptors, int *descriptor_count) {
    struct iovec part = {.iov_base = bytes, .iov_len = count};
    union { char bytes[CMSG_SPACE(SKEIN_DESCRIPTORS_MAX * sizeof(int))]; struct cmsghdr aligned; } control;
    struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1, .msg_control = control.bytes, .msg_controllen = sizeof(control.bytes)};
    *descriptor_count = 0;
    ssize_t received = recvmsg(fd, &message, MSG_CMSG_CLOEXEC);
    if (received < 0) return received;
    for (struct cmsghdr *header = CMSG_FIRSTHDR(&message); header; header = CMSG_NXTHDR(&message, header)) {
        if (header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_RIGHTS) continue;
        *descriptor_count = (header->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        __builtin_memcpy(descriptors, CMSG_DATA(header), *descriptor_count * sizeof(int));
    }
    return received;
}
// struct ucred hides behind _GNU_SOURCE; its first three members are the process, the user and the group (unix(7), SO_PEERCRED).
static inline int skein_peer_user(int fd, uint32_t *user, int32_t *process) {
    uint32_t credentials[3];
    socklen_t length = sizeof(credentials);
    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, credentials, &length) != 0 || length != sizeof(credentials)) return -1;
    *process = (int32_t)credentials[0];
    *user = credentials[1];
    return 0;
}
// malloc.h is not part of Swift's Glibc module.
static inline void skein_malloc_trim(void) { malloc_trim(0); }
#endif
