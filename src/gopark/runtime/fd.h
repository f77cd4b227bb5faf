/* The system calls of poll.py.  Each returns -errno on failure, and none waits: their
 * descriptors are non-blocking. */
#ifndef GOPARK_FD_H
#define GOPARK_FD_H

#include <Python.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <unistd.h>

enum { IO_READ, IO_WRITE, IO_ACCEPT, IO_POLLIN, IO_POLLOUT };

typedef struct {
    int op;
    char *buf;
    Py_ssize_t len;
} ioop;

enum { SCRATCH = 65536 };

/* Where a read lands whose length is not known yet; this thread's. */
static inline char *scratch(void) {
    static __thread char buf[SCRATCH];
    return buf;
}

static inline int setnonblock(int fd) {
    int flags = fcntl(fd, F_GETFL);
    if (flags < 0 || (!(flags & O_NONBLOCK) && fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0))
        return -errno;
    return 0;
}

static inline int fdready(int fd, short events) {
    struct pollfd p = {fd, events, 0};
    int n = poll(&p, 1, 0);
    return n > 0 ? 1 : n == 0 ? -EAGAIN : -errno;
}

static inline int fdaccept(int fd) {
#if defined(__linux__)
    return accept4(fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
#else
    int got = accept(fd, NULL, NULL);
    if (got >= 0 && (fcntl(got, F_SETFD, FD_CLOEXEC) < 0 || setnonblock(got) < 0)) {
        close(got);
        return -1;
    }
    return got;
#endif
}

static inline Py_ssize_t fdio(int fd, ioop *o) {
    Py_ssize_t r;
    do {
        switch (o->op) {
        case IO_READ:
            r = read(fd, o->buf, (size_t)o->len);
            break;
        case IO_WRITE:
            r = write(fd, o->buf, (size_t)o->len);
            break;
        case IO_ACCEPT:
            r = fdaccept(fd);
            break;
        case IO_POLLIN:
            return fdready(fd, POLLIN);
        default:
            return fdready(fd, POLLOUT);
        }
    } while (r < 0 && errno == EINTR);
    if (r >= 0)
        return r;
    return errno == EWOULDBLOCK ? -EAGAIN : -errno;
}

static inline void fdclose(int fd) {
    Py_BEGIN_ALLOW_THREADS /* a socket that lingers, a file on a far disk */
    close(fd);
    Py_END_ALLOW_THREADS
}

#endif /* GOPARK_FD_H */
