/* The core's one door to the machine: atomics, the lock, the note, threads, the
 * clock, and the few calls of CPython's C API that Cython has no words for.
 *
 * Two builds.  Without the GIL the atomics are real and `mutex` is a PyMutex.
 * With the GIL the core runs only while its thread holds it, runs no Python
 * code and allocates no collectable object between lock() and unlock(), and
 * therefore cannot be interrupted there: holding the GIL is the lock, and every
 * operation is a plain one.
 *
 * Everything here has a twin of the same name in seam.py, for the uncompiled
 * core.  Operations on a field are macros, so that `acas(p.status, a, b)` is a
 * compare-and-swap on the field in C and on a cell object in Python.
 */
#ifndef GOPARK_SEAM_H
#define GOPARK_SEAM_H

#include <Python.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>
#if defined(__linux__)
#include <limits.h>
#include <linux/futex.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>
#else
#include <sys/event.h>
#endif

/* ---- atomics ------------------------------------------------------------ */

typedef int32_t aint;        /* an int that several threads may touch */
typedef int64_t aint64;
typedef PyObject *aguintptr; /* a guintptr that several threads may touch */

#ifdef Py_GIL_DISABLED
#define GOPARK_GIL 0
#define aload(x) __atomic_load_n(&(x), __ATOMIC_SEQ_CST)
#define astore(x, v) __atomic_store_n(&(x), (v), __ATOMIC_SEQ_CST)
#define axchg(x, v) __atomic_exchange_n(&(x), (v), __ATOMIC_SEQ_CST)
#define aadd(x, d) __atomic_add_fetch(&(x), (d), __ATOMIC_SEQ_CST)
#define aload_acq(x) __atomic_load_n(&(x), __ATOMIC_ACQUIRE)
#define astore_rel(x, v) __atomic_store_n(&(x), (v), __ATOMIC_RELEASE)
static inline int gopark_cas32(aint *p, aint old, aint new_) {
    return __atomic_compare_exchange_n(p, &old, new_, 0, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
}
static inline int gopark_cas64(aint64 *p, aint64 old, aint64 new_) {
    return __atomic_compare_exchange_n(p, &old, new_, 0, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
}
static inline int gopark_casptr(PyObject **p, PyObject *old, PyObject *new_) {
    return __atomic_compare_exchange_n(p, &old, new_, 0, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
}
#else
#define GOPARK_GIL 1
/* Volatile: another thread may have written while this one waited for the GIL. */
#define aload(x) (*(volatile __typeof__(x) *)&(x))
#define astore(x, v) ((void)(*(volatile __typeof__(x) *)&(x) = (v)))
#define aload_acq(x) aload(x)
#define astore_rel(x, v) astore(x, v)
#define axchg(x, v) ({ __typeof__(x) gopark_old = (x); (x) = (v); gopark_old; })
#define aadd(x, d) ((x) += (d))
static inline int gopark_cas32(aint *p, aint old, aint new_) {
    return *p == old ? (*p = new_, 1) : 0;
}
static inline int gopark_cas64(aint64 *p, aint64 old, aint64 new_) {
    return *p == old ? (*p = new_, 1) : 0;
}
static inline int gopark_casptr(PyObject **p, PyObject *old, PyObject *new_) {
    return *p == old ? (*p = new_, 1) : 0;
}
#endif
#define acas(x, old, new_) gopark_cas32(&(x), (old), (new_))

#define aload64(x) aload(x)
#define astore64(x, v) astore(x, v)
#define axchg64(x, v) axchg(x, v)
#define aadd64(x, d) aadd(x, d)
#define acas64(x, old, new_) gopark_cas64(&(x), (old), (new_))

#define gload(x) aload(x)
#define gstore(x, v) astore(x, v)
#define gxchg(x, v) axchg(x, v)
#define gcas(x, old, new_) gopark_casptr(&(x), (old), (new_))

/* ---- the lock ----------------------------------------------------------- */

#ifdef Py_GIL_DISABLED
typedef PyMutex mutex;
#define lock(m) PyMutex_Lock(&(m))
#define unlock(m) PyMutex_Unlock(&(m))
#else
typedef struct { char held; } mutex;
#ifdef GOPARK_DEBUG
#define lock(m) gopark_debug_lock(&(m))
#define unlock(m) gopark_debug_unlock(&(m))
static inline void gopark_debug_lock(mutex *m) {
    if (m->held)
        Py_FatalError("gopark: lock taken twice: Python code ran inside a critical section");
    m->held = 1;
}
static inline void gopark_debug_unlock(mutex *m) {
    if (!m->held)
        Py_FatalError("gopark: unlock of an unlocked lock");
    m->held = 0;
}
#else
#define lock(m) ((void)(m))
#define unlock(m) ((void)(m))
#endif
#endif

/* In a forked child: whoever held it is not there any more. */
#define lockinit(m) ((void)((m) = (mutex){0}))

/* ---- the note: sleep until woken, once ---------------------------------- */

/* One thread sleeps, any thread wakes.  The wake-up is remembered (key), so it
 * may come before the sleep.  A sleeper gives the interpreter up meanwhile.
 * Results: 1 woken, 0 timed out, -1 interrupted by a signal. */

#if defined(__linux__)
/* A futex; or, for a thread that must notice signals, an eventfd under ppoll(),
 * which lets them in at the very moment in which it begins to sleep.  The key is
 * what counts, the eventfd only ends the poll: a clear that comes between a
 * waker's two steps may leave it empty with the key set, or full with it clear. */
typedef struct { uint32_t key; int fd; } note;

static inline void gopark_notewakeup(note *n) {
    if (__atomic_exchange_n(&n->key, 1, __ATOMIC_SEQ_CST) == 0) {
        if (n->fd > 0)
            (void)!write(n->fd, &(uint64_t){1}, 8);
        else
            syscall(SYS_futex, &n->key, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
    }
}

static int gopark_notewait(note *n, int64_t ns) {
    struct timespec ts, *timeout = NULL;
    if (ns >= 0) {
        ts.tv_sec = ns / 1000000000;
        ts.tv_nsec = ns % 1000000000;
        timeout = &ts;
    }
    if (__atomic_load_n(&n->key, __ATOMIC_SEQ_CST))
        return 1;
    long r = syscall(SYS_futex, &n->key, FUTEX_WAIT_PRIVATE, 0, timeout, NULL, 0);
    int err = errno;
    if (__atomic_load_n(&n->key, __ATOMIC_SEQ_CST))
        return 1;
    if (r < 0 && err == ETIMEDOUT)
        return 0;
    return -1; /* a signal, or a spurious return: the caller looks again */
}

static inline void gopark_noteclear(note *n) {
    uint64_t count;
    __atomic_store_n(&n->key, 0, __ATOMIC_SEQ_CST);
    if (n->fd > 0)
        (void)!read(n->fd, &count, 8);
}
static inline void gopark_notesignals(note *n) {
    if (n->fd <= 0)
        n->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK); /* without one: the futex */
}
static inline void gopark_noteclose(note *n) {
    if (n->fd > 0)
        close(n->fd);
    n->fd = 0;
}
/* In a forked child: an eventfd of its own in the place of the one that it shares
 * with its parent.  A signal handler may have forked over the very sleep. */
static inline void gopark_noterenew(note *n) {
    int fd = n->fd > 0 ? eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK) : -1;
    if (fd >= 0) {
        dup3(fd, n->fd, O_CLOEXEC);
        close(fd);
    }
    n->key = 0;
}

/* Sleep with signals: those that came before are seen to first, the others end
 * the sleep.  A handler that raised leaves its exception set. */
static int gopark_notewaitsignals(note *n, int64_t ns) {
    sigset_t all, before;
    struct timespec ts = {ns / 1000000000, ns % 1000000000};
    struct pollfd p = {n->fd, POLLIN, 0};
    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, &before);
    int woken = __atomic_load_n(&n->key, __ATOMIC_SEQ_CST);
    int r = 0, raised = PyErr_CheckSignals();
    if (!raised && !woken) {
        PyThreadState *tstate = PyEval_SaveThread();
        r = ppoll(&p, 1, ns < 0 ? NULL : &ts, &before);
        PyEval_RestoreThread(tstate);
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (raised)
        return -1;
    if (__atomic_load_n(&n->key, __ATOMIC_SEQ_CST))
        return 1;
    if (r > 0)
        (void)!read(n->fd, &(uint64_t){0}, 8); /* left by a wake-up that was cleared halfway */
    return r == 0 ? 0 : -1;
}
#else
/* The portable note.  pthread_cond_wait does not return for a signal, so a
 * sleeper comes up every 50 ms to look: simple, and only off Linux. */
typedef struct {
    pthread_mutex_t mu;
    pthread_cond_t cond;
    int key;
    int ready;
} note;

static inline void gopark_noteinit(note *n) {
    if (!n->ready) {
        pthread_mutex_init(&n->mu, NULL);
        pthread_cond_init(&n->cond, NULL);
        n->ready = 1;
    }
    n->key = 0;
}
static inline void gopark_notewakeup(note *n) {
    pthread_mutex_lock(&n->mu);
    n->key = 1;
    pthread_cond_signal(&n->cond);
    pthread_mutex_unlock(&n->mu);
}
static int gopark_notewait(note *n, int64_t ns) {
    const int64_t slice = 50 * 1000 * 1000;
    int last = ns >= 0 && ns <= slice, r;
    struct timespec now, until;
    clock_gettime(CLOCK_REALTIME, &now);
    int64_t nsec = now.tv_nsec + (last ? ns : slice);
    until.tv_sec = now.tv_sec + nsec / 1000000000;
    until.tv_nsec = nsec % 1000000000;
    pthread_mutex_lock(&n->mu);
    if (!n->key)
        pthread_cond_timedwait(&n->cond, &n->mu, &until);
    r = n->key;
    pthread_mutex_unlock(&n->mu);
    return r ? 1 : last ? 0 : -1;
}
#define gopark_noteclear(n) gopark_noteinit(n)
#define gopark_notesignals(n) ((void)(n))
#define gopark_noteclose(n) ((void)(n))
static inline void gopark_noterenew(note *n) {
    n->ready = 0; /* another thread may have held the lock */
    gopark_noteinit(n);
}
#endif

#define noteclear(n) gopark_noteclear(&(n))
#define notesignals(n) gopark_notesignals(&(n))
#define noteclose(n) gopark_noteclose(&(n))
#define noterenew(n) gopark_noterenew(&(n))
#define notewakeup(n) gopark_notewakeup(&(n))
#define notetsleep(n, ns) gopark_notetsleep(&(n), (ns))

static inline int gopark_notetsleep(note *n, int64_t ns) {
    int r;
#if defined(__linux__)
    if (n->fd > 0)
        return gopark_notewaitsignals(n, ns);
#endif
    Py_BEGIN_ALLOW_THREADS
    r = gopark_notewait(n, ns);
    Py_END_ALLOW_THREADS
    return r;
}

/* ---- the poller's queue of events (Go: netpoll_epoll.go, netpoll_kqueue.go) ---- */

/* Descriptors are registered once, edge-triggered, with a tag that their events
 * carry.  Tag 0 is the poller's own: what `pollbreak` writes to.  POLL_LAST: the end, an
 * error or urgent data has come, which no further event may tell of. */
enum { POLL_READ = 1, POLL_WRITE = 2, POLL_LAST = 4, POLL_MAXEVENTS = 128 };
typedef struct {
    int fd;         /* of epoll or kqueue; 0: there is none */
    int breakfd;    /* Linux: an eventfd */
    uint32_t broken;
} pollqueue;
typedef struct {
    int64_t tag;
    int mode;
} pollevent;
static __thread pollevent gopark_events[POLL_MAXEVENTS]; /* of this thread's last pollwait */
#define polltag(i) (gopark_events[i].tag)
#define pollmode(i) (gopark_events[i].mode)

#define pollinit(q) gopark_pollinit(&(q))
#define pollclose(q) gopark_pollclose(&(q))
#define pollctl(q, fd, tag) gopark_pollctl(&(q), (fd), (tag))
#define pollunctl(q, fd) gopark_pollunctl(&(q), (fd))
#define pollclear(q) gopark_pollclear(&(q))
#define pollbreak(q) gopark_pollbreak(&(q))
#define pollwait(q, ns, signals) gopark_pollwait(&(q), (ns), (signals))
#define pollfd(q) ((q).fd)

/* In a forked child too: what it closes is its own, and its parent's stays. */
static inline void gopark_pollclose(pollqueue *q) {
    if (q->fd > 0)
        close(q->fd);
    if (q->breakfd > 0)
        close(q->breakfd);
    q->fd = q->breakfd = 0;
}

#if defined(__linux__)
static inline int gopark_pollinit(pollqueue *q) {
    struct epoll_event ev = {.events = EPOLLIN, .data.u64 = 0};
    gopark_pollclose(q);
    q->fd = epoll_create1(EPOLL_CLOEXEC);
    q->breakfd = q->fd < 0 ? -1 : eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (q->breakfd >= 0 && epoll_ctl(q->fd, EPOLL_CTL_ADD, q->breakfd, &ev) == 0)
        return 0;
    int err = errno;
    gopark_pollclose(q);
    return err;
}
static inline int gopark_pollctl(pollqueue *q, int fd, int64_t tag) {
    struct epoll_event ev = {.events = EPOLLIN | EPOLLOUT | EPOLLPRI | EPOLLRDHUP | EPOLLET,
                             .data.u64 = (uint64_t)tag};
    return epoll_ctl(q->fd, EPOLL_CTL_ADD, fd, &ev) < 0 ? errno : 0;
}
static inline void gopark_pollunctl(pollqueue *q, int fd) {
    struct epoll_event ev = {0}; /* before Linux 2.6.9 it had to be there */
    epoll_ctl(q->fd, EPOLL_CTL_DEL, fd, &ev);
}
static inline void gopark_pollclear(pollqueue *q) {
    uint64_t count;
    __atomic_store_n(&q->broken, 0, __ATOMIC_SEQ_CST);
    if (q->breakfd > 0)
        (void)!read(q->breakfd, &count, 8);
}
static inline void gopark_pollbreak(pollqueue *q) {
    if (__atomic_exchange_n(&q->broken, 1, __ATOMIC_SEQ_CST) == 0 && q->breakfd > 0)
        (void)!write(q->breakfd, &(uint64_t){1}, 8);
}

#ifndef SYS_epoll_pwait2
#define SYS_epoll_pwait2 441
#endif
/* epoll_wait to the nanosecond; a kernel before 5.11 polls the epoll descriptor instead. */
static int gopark_epollwait(pollqueue *q, struct epoll_event *ev, int64_t ns, sigset_t *mask) {
    static int old;
    struct timespec ts = {ns / 1000000000, ns % 1000000000}, *timeout = ns < 0 ? NULL : &ts;
    if (!old) {
        int n = (int)syscall(SYS_epoll_pwait2, q->fd, ev, POLL_MAXEVENTS, timeout, mask, 8);
        if (n >= 0 || errno != ENOSYS)
            return n;
        old = 1;
    }
    struct pollfd p = {q->fd, POLLIN, 0};
    int n = ppoll(&p, 1, timeout, mask);
    return n > 0 ? epoll_wait(q->fd, ev, POLL_MAXEVENTS, 0) : n;
}

/* How many events, waiting for the first for `ns` (-1: for ever) without the
 * interpreter.  With `signals`, those that came before are seen to first, and others
 * end the wait; a handler that raised leaves its exception set. */
static int gopark_pollwait(pollqueue *q, int64_t ns, int signals) {
    struct epoll_event ev[POLL_MAXEVENTS];
    int n = 0, i, found = 0;
    if (ns == 0) {
        n = epoll_wait(q->fd, ev, POLL_MAXEVENTS, 0);
    } else {
        sigset_t all, before;
        int raised = 0;
        if (signals) {
            sigfillset(&all);
            pthread_sigmask(SIG_BLOCK, &all, &before);
            raised = PyErr_CheckSignals();
        }
        if (!raised && !__atomic_load_n(&q->broken, __ATOMIC_SEQ_CST)) {
            PyThreadState *tstate = PyEval_SaveThread();
            n = gopark_epollwait(q, ev, ns, signals ? &before : NULL);
            PyEval_RestoreThread(tstate);
        }
        if (signals)
            pthread_sigmask(SIG_SETMASK, &before, NULL);
    }
    for (i = 0; i < n; i++) {
        uint32_t events = ev[i].events;
        if (ev[i].data.u64 == 0)
            continue;
        gopark_events[found].tag = (int64_t)ev[i].data.u64;
        gopark_events[found++].mode =
            (events & (EPOLLIN | EPOLLPRI | EPOLLRDHUP | EPOLLHUP | EPOLLERR) ? POLL_READ : 0) |
            (events & (EPOLLOUT | EPOLLHUP | EPOLLERR) ? POLL_WRITE : 0) |
            (events & (EPOLLPRI | EPOLLRDHUP | EPOLLHUP | EPOLLERR) ? POLL_LAST : 0);
    }
    return found;
}
#else
#define GOPARK_NOTE(q, flag) \
    do { \
        struct kevent kev; \
        EV_SET(&kev, 0, EVFILT_USER, EV_ADD | EV_CLEAR, (flag), 0, NULL); \
        kevent((q)->fd, &kev, 1, NULL, 0, NULL); \
    } while (0)

static inline int gopark_pollinit(pollqueue *q) {
    gopark_pollclose(q);
    q->fd = kqueue();
    if (q->fd < 0) {
        q->fd = 0;
        return errno;
    }
    fcntl(q->fd, F_SETFD, FD_CLOEXEC);
    GOPARK_NOTE(q, 0);
    return 0;
}
static inline int gopark_pollctl(pollqueue *q, int fd, int64_t tag) {
    struct kevent kev[2];
    EV_SET(&kev[0], fd, EVFILT_READ, EV_ADD | EV_CLEAR, 0, 0, (void *)(intptr_t)tag);
    EV_SET(&kev[1], fd, EVFILT_WRITE, EV_ADD | EV_CLEAR, 0, 0, (void *)(intptr_t)tag);
    return kevent(q->fd, kev, 2, NULL, 0, NULL) < 0 ? errno : 0;
}
static inline void gopark_pollunctl(pollqueue *q, int fd) {
    struct kevent kev[2];
    EV_SET(&kev[0], fd, EVFILT_READ, EV_DELETE, 0, 0, NULL);
    EV_SET(&kev[1], fd, EVFILT_WRITE, EV_DELETE, 0, 0, NULL);
    kevent(q->fd, &kev[0], 1, NULL, 0, NULL);
    kevent(q->fd, &kev[1], 1, NULL, 0, NULL);
}
static inline void gopark_pollclear(pollqueue *q) {
    __atomic_store_n(&q->broken, 0, __ATOMIC_SEQ_CST); /* EV_CLEAR: at most one wait for nothing */
}
static inline void gopark_pollbreak(pollqueue *q) {
    if (__atomic_exchange_n(&q->broken, 1, __ATOMIC_SEQ_CST) == 0 && q->fd > 0)
        GOPARK_NOTE(q, NOTE_TRIGGER);
}

/* As above.  kevent() takes no signal mask: a thread that must notice signals comes up
 * every 50 ms to look. */
static int gopark_pollwait(pollqueue *q, int64_t ns, int signals) {
    struct kevent kev[POLL_MAXEVENTS];
    const int64_t slice = 50 * 1000 * 1000;
    if (signals && (ns < 0 || ns > slice))
        ns = slice;
    struct timespec ts = {ns / 1000000000, ns % 1000000000}, *timeout = ns < 0 ? NULL : &ts;
    int n = 0, i, found = 0;
    if (ns == 0) {
        n = kevent(q->fd, NULL, 0, kev, POLL_MAXEVENTS, timeout);
    } else if (!(signals && PyErr_CheckSignals()) &&
               !__atomic_load_n(&q->broken, __ATOMIC_SEQ_CST)) {
        PyThreadState *tstate = PyEval_SaveThread();
        n = kevent(q->fd, NULL, 0, kev, POLL_MAXEVENTS, timeout);
        PyEval_RestoreThread(tstate);
    }
    for (i = 0; i < n; i++) {
        if (kev[i].filter == EVFILT_USER)
            continue;
        int mode = POLL_LAST | (kev[i].filter == EVFILT_READ ? POLL_READ : POLL_WRITE);
        if (kev[i].flags & EV_EOF && mode == POLL_WRITE)
            mode |= POLL_READ; /* the reading end of a pipe went away, say */
        gopark_events[found].tag = (int64_t)(intptr_t)kev[i].udata;
        gopark_events[found++].mode = mode;
    }
    return found;
}
#endif

/* Are there events?  They stay where they are. */
static inline int gopark_pollpending(int fd) {
    struct pollfd p = {fd, POLLIN, 0};
    return poll(&p, 1, 0) > 0;
}

/* The exception that a signal handler raised meanwhile, if one did. */
static inline int checkinterrupt(void) {
    return PyErr_Occurred() ? -1 : 0;
}

/* ---- clock, randomness -------------------------------------------------- */

static inline int64_t nanotime(void) {
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (int64_t)ts.tv_sec * 1000000000 + ts.tv_nsec;
}

static inline void usleep_detached(int64_t us) {
    struct timespec ts = {us / 1000000, (us % 1000000) * 1000};
    Py_BEGIN_ALLOW_THREADS
    nanosleep(&ts, NULL);
    Py_END_ALLOW_THREADS
}

/* xorshift64*, Vigna 2016: seeded, so that a schedule can be replayed. */
static inline uint32_t gopark_rand(uint64_t *s) {
    uint64_t x = *s;
    x ^= x >> 12;
    x ^= x << 25;
    x ^= x >> 27;
    *s = x;
    return (uint32_t)((x * 0x2545F4914F6CDD1DULL) >> 32);
}
#define cheaprand(s) gopark_rand(&(s))

/* ---- what sysmon sees of the Ps, without the interpreter ---------------- */

/* Between a store and a load of other words, where one of the two threads does
 * not hold the GIL. */
#define fence() __atomic_thread_fence(__ATOMIC_SEQ_CST)

#define GOPARK_MAXPROCS 1024

enum { WATCH_NOTHING = 0, WATCH_PROBE = 1, WATCH_HELD = 2 };
enum { SYSMON_LOOK = 0, SYSMON_STOP = 1, SYSMON_REFRESH = 2, SYSMON_OVERDUE = 3, SYSMON_REARM = 4,
       SYSMON_POLL = 5 };

/* One P, by the addresses of its fields; P's outlive sysmon. */
typedef struct {
    aint *status, *runqhead, *runqtail, *preempt;
    uint32_t *schedtick;
    PyObject **runnext;
    aint64 *wakeTime;
    aint word;       /* status and tick when last seen to change, and when that was */
    uint32_t tick;
    int64_t since;
    int64_t looked;  /* when the interpreter was last asked about it */
    int due;
} pwatch;

/* A clock that sysmon keeps, so that parking can read it for nothing: hundredths
 * of a second, modulo 2**32. */
static inline uint32_t coarse(int64_t ns) {
    return (uint32_t)(ns / 10000000);
}

typedef struct {
    uint32_t now;    /* coarse(nanotime()) at sysmon's last round */
    note wake;       /* somebody wants sysmon */
    int32_t waiting; /* it sleeps until then */
    int32_t stop, refresh;
    int32_t n;       /* Ps watched */
    int32_t idle;    /* rounds without anything to do */
    int64_t delay;   /* ns */
    int32_t armed;   /* threads that are to pause, and have not */
    int64_t rearm;   /* ns: when to look after them */
    int64_t overdue; /* ns: when the thread that called run must be back; 0: no hurry */
    aint *runqsize, *npidle, *stopping;
    int pollfd;      /* the poller's, 0 for none */
    aint *pollwaiters; /* goroutines that wait for descriptors */
    aint64 *lastpoll;  /* 0: an M sleeps in the poller */
    int64_t polled;  /* ns: when events were last looked for */
    pwatch p[GOPARK_MAXPROCS];
} sysmonstate;

#define PEEK(x) (*(volatile __typeof__(*(x)) *)(x))

/* Look at one P: has its goroutine had it too long, while others wait?  10 ms are
 * a time slice; after half a millisecond it is worth asking whether its thread
 * is off the interpreter.  0: idle, 1: busy, 2: busy, and to be looked at soon. */
static int gopark_watch1(sysmonstate *s, pwatch *w, int64_t now) {
    aint word = PEEK(w->status);
    uint32_t tick = PEEK(w->schedtick);
    int state = word & 7;
    w->due = WATCH_NOTHING;
    if (state != 1 && state != 2) { /* _Prunning, _Psyscall */
        w->since = now;
        w->word = word;
        return 0;
    }
    if (word != w->word || tick != w->tick) {
        w->word = word;
        w->tick = tick;
        w->since = now;
        return 1;
    }
    int64_t held = now - w->since, when = PEEK(w->wakeTime);
    if (PEEK(w->runqhead) == PEEK(w->runqtail) && PEEK(w->runnext) == NULL &&
        PEEK(s->runqsize) == 0 && (when == 0 || when > now))
        return 1; /* nobody waits */
    if (held >= 10000000)
        __atomic_store_n(w->preempt, 1, __ATOMIC_SEQ_CST); /* at its next operation, please */
    if (held >= 10000000 && held < 10500000)
        return 2;
    if (held >= 10500000 && state == 2)
        w->due = WATCH_HELD; /* it does none */
    else if (held >= 500000 && state == 2 && now - w->looked >= 500000)
        w->due = WATCH_PROBE;
    if (w->due)
        w->looked = now;
    return 1;
}

/* Watch until there is something to do for which the interpreter is needed.
 * `*quick`: it was to be had at once, so with the GIL nobody was running. */
static inline int gopark_sysmonwatch(sysmonstate *s, int32_t *quick) {
    int what = SYSMON_LOOK, i;
    PyThreadState *ts = PyEval_SaveThread();
    for (;;) {
        if (__atomic_load_n(&s->stop, __ATOMIC_SEQ_CST)) {
            what = SYSMON_STOP;
            break;
        }
        if (__atomic_exchange_n(&s->refresh, 0, __ATOMIC_SEQ_CST)) {
            what = SYSMON_REFRESH;
            break;
        }
        if (s->idle == 0)
            s->delay = 20000;
        else if (s->idle > 50 && s->delay < 10000000)
            s->delay *= 2;
        s->idle++;
        int woken = gopark_notewait(&s->wake, s->delay > 10000000 ? 10000000 : s->delay);
        if (woken > 0)
            noteclear(s->wake);
        int64_t now = nanotime();
        s->now = coarse(now);
        int busy = 0, due = 0, preempted = 0;
        int64_t soon = 10000000; /* until the next timer of a P whose goroutine is in plain code */
        for (i = 0; i < s->n; i++) {
            int seen = gopark_watch1(s, &s->p[i], now);
            busy |= seen;
            preempted |= seen == 2;
            due |= s->p[i].due;
            int64_t when = PEEK(s->p[i].wakeTime);
            if (when && now - s->p[i].since > 500000 && when - now < soon)
                soon = when - now;
        }
        if (PEEK(s->stopping)) {
            busy = 1;
            if (s->overdue == 0)
                s->overdue = now + 1000000000;
            if (now >= s->overdue) {
                s->overdue = 0;
                what = SYSMON_OVERDUE;
                break;
            }
        }
        if (due)
            break;
        if (PEEK(s->pollwaiters) && PEEK(s->lastpoll) && now - s->polled >= 10000000) {
            /* All Ps are busy, and nobody has time to look. */
            s->polled = now;
            if (gopark_pollpending(s->pollfd)) {
                what = SYSMON_POLL;
                break;
            }
        }
        if (s->armed && now >= s->rearm) {
            what = SYSMON_REARM;
            break;
        }
        if (preempted && s->delay > 500000)
            s->delay = 500000;
        if (s->armed && s->delay > s->rearm - now)
            s->delay = s->rearm - now;
        if (s->delay > soon)
            s->delay = soon > 100000 ? soon : 100000;
        if (!busy && s->delay >= 1000000) {
            /* The program is idle.  Whoever acquires a P from now on sees
             * `waiting`, or we see that he has. */
            __atomic_store_n(&s->waiting, 1, __ATOMIC_SEQ_CST);
            fence();
            busy = 0;
            for (i = 0; i < s->n; i++) {
                int state = PEEK(s->p[i].status) & 7;
                busy |= state == 1 || state == 2;
            }
            if (!busy && !__atomic_load_n(&s->stop, __ATOMIC_SEQ_CST) && !PEEK(s->stopping)) {
                while (gopark_notewait(&s->wake, -1) != 1)
                    if (!__atomic_load_n(&s->waiting, __ATOMIC_SEQ_CST))
                        break;
            }
            __atomic_store_n(&s->waiting, 0, __ATOMIC_SEQ_CST);
            noteclear(s->wake);
            s->idle = 0;
        }
    }
    int64_t asked = nanotime();
    PyEval_RestoreThread(ts);
    int64_t got = nanotime();
    for (i = 0; i < s->n; i++) /* the slice may have ended while we waited for the GIL */
        if (s->p[i].due == WATCH_PROBE && got - s->p[i].since >= 10000000)
            s->p[i].due = WATCH_HELD;
    *quick = nanotime() - asked < 200000;
    return what;
}

static inline void gopark_sysmonwake(sysmonstate *s) {
    if (__atomic_exchange_n(&s->waiting, 0, __ATOMIC_SEQ_CST))
        gopark_notewakeup(&s->wake);
}
static inline void gopark_sysmonstop(sysmonstate *s) {
    __atomic_store_n(&s->stop, 1, __ATOMIC_SEQ_CST);
    gopark_notewakeup(&s->wake);
}
static inline void gopark_sysmonrefresh(sysmonstate *s) {
    __atomic_store_n(&s->refresh, 1, __ATOMIC_SEQ_CST);
    gopark_notewakeup(&s->wake);
}

/* Is a thread away from the interpreter: blocked in C?  Without the GIL its state
 * says so (0 is detached).  Its thread must not be able to end meanwhile. */
#ifdef Py_GIL_DISABLED
#define off_interpreter(ts) \
    (__atomic_load_n(&((PyThreadState *)(ts))->state, __ATOMIC_RELAXED) == 0)
#else
#define off_interpreter(ts) 0
#endif

/* Does a thread run bytecode?  Ask it to, by the bit that makes it see to dead objects
 * of its own (see below), which it does at its next safe point; one that is in a
 * long call of C that does not let go of the interpreter has not, when looked at
 * again.  Stopping all threads (as the interpreter does to set an event) would
 * wait for it. */
#ifdef Py_GIL_DISABLED
#define MERGE_BIT (1u << 6)
#define askbytecode(ts) \
    ((void)__atomic_fetch_or(&((PyThreadState *)(ts))->eval_breaker, MERGE_BIT, __ATOMIC_SEQ_CST))
#define inbytecode(ts) (off_interpreter(ts) || !merge_pending(ts))
#else
#define askbytecode(ts) ((void)(ts))
#define inbytecode(ts) 1
#endif

/* ---- this thread's M ---------------------------------------------------- */

/* Included by several extension modules; only proc.py calls these two. */
#if defined(__GLIBC__)
#define GOPARK_TLS __thread __attribute__((tls_model("initial-exec")))
#else
#define GOPARK_TLS __thread
#endif
static GOPARK_TLS PyObject *gopark_tls_m;
#define tlsget() (gopark_tls_m)
#define tlsset(m) ((void)(gopark_tls_m = (m)))

/* ---- the goroutine's stack: resuming a coroutine ------------------------ */

static inline int coroutine_send(PyObject *coro, PyObject **out) {
    return (int)PyIter_Send(coro, Py_None, out);
}

/* Has it never run?  Up to 3.13 its state is a public field: negative while it can
 * run, and lowest when it is new.  Later ones are asked; a finished coroutine is
 * then found out when the goroutine starts. */
static inline int coroutine_fresh(PyObject *coro) {
#if PY_VERSION_HEX < 0x030D0000
    return ((PyCoroObject *)coro)->cr_frame_state == -2;
#elif PY_VERSION_HEX < 0x030E0000
    return ((PyCoroObject *)coro)->cr_frame_state == -3;
#else
    PyObject *suspended = PyObject_GetAttrString(coro, "cr_suspended");
    int fresh = suspended == Py_False;
    Py_XDECREF(suspended);
    PyErr_Clear();
    return fresh;
#endif
}

static inline PyObject *take_exception(void) {
#if PY_VERSION_HEX >= 0x030C0000
    return PyErr_GetRaisedException();
#else
    PyObject *type, *value, *tb;
    PyErr_Fetch(&type, &value, &tb);
    PyErr_NormalizeException(&type, &value, &tb);
    if (tb != NULL)
        PyException_SetTraceback(value, tb);
    Py_XDECREF(type);
    Py_XDECREF(tb);
    return value;
#endif
}

/* Have a thread raise an exception at its next instruction. */
static inline int setasyncexc(unsigned long ident, PyObject *exception) {
    return PyThreadState_SetAsyncExc(ident, exception) < 0 ? -1 : 0;
}

static inline PyObject *coroutine_name(PyObject *coro) {
#if PY_VERSION_HEX < 0x030E0000
    return Py_NewRef(((PyCoroObject *)coro)->cr_qualname);
#else
    return PyObject_GetAttrString(coro, "__qualname__");
#endif
}

/* `go`: one coroutine goes straight to `fast`, everything else to the Python
 * function `slow(args, kwargs)`. */
static PyObject *(*gopark_go_fast)(PyObject *);
static PyObject *gopark_go_slow;

static PyObject *gopark_go(PyObject *Py_UNUSED(self), PyObject *const *args, Py_ssize_t n,
                           PyObject *kwnames) {
    if (n == 1 && kwnames == NULL && PyCoro_CheckExact(args[0]))
        return gopark_go_fast(args[0]);
    Py_ssize_t i, nkw = kwnames ? PyTuple_GET_SIZE(kwnames) : 0;
    PyObject *tuple = PyTuple_New(n), *kwargs = PyDict_New(), *g = NULL;
    if (tuple == NULL || kwargs == NULL)
        goto done;
    for (i = 0; i < n; i++)
        PyTuple_SET_ITEM(tuple, i, Py_NewRef(args[i]));
    for (i = 0; i < nkw; i++)
        if (PyDict_SetItem(kwargs, PyTuple_GET_ITEM(kwnames, i), args[n + i]) < 0)
            goto done;
    g = PyObject_CallFunctionObjArgs(gopark_go_slow, tuple, kwargs, NULL);
done:
    Py_XDECREF(tuple);
    Py_XDECREF(kwargs);
    return g;
}

static PyMethodDef gopark_go_def = {
    "go", (PyCFunction)(void (*)(void))gopark_go, METH_FASTCALL | METH_KEYWORDS,
    "go($module, fn, /, *args, name=None, **kwargs)\n--\n\n"
    "Start a goroutine; never waits.  Returns its handle (Go: the go statement).\n\n"
    "fn is a coroutine, or an async or plain function that is called with the\n"
    "arguments.  May be called on any thread while a program runs.\n\n"
    "Raises TooManyGoroutines at the limit of run(max_goroutines=), TypeError for\n"
    "what is none of these, RuntimeError when no program runs."};

static inline PyObject *gobuiltin(PyObject *(*fast)(PyObject *), PyObject *slow) {
    gopark_go_fast = fast;
    gopark_go_slow = Py_NewRef(slow);
    return PyCFunction_New(&gopark_go_def, NULL);
}

/* The collector: leave an object out, and bring it back in. */
static inline void track(PyObject *o) {
    if (PyObject_IS_GC(o) && !PyObject_GC_IsTracked(o))
        PyObject_GC_Track(o);
}
static inline void untrack(PyObject *o) {
    if (PyObject_IS_GC(o))
        PyObject_GC_UnTrack(o);
}

/* What the collector knows of an object.  `traverse` calls `visit` for each object
 * that it refers to.  Up to 3.13 a generator's state is a public field. */
static inline int traverse(PyObject *o, visitproc visit, void *arg) {
    traverseproc f = Py_TYPE(o)->tp_traverse;
    return f == NULL || !PyObject_IS_GC(o) ? 0 : f(o, visit, arg);
}
static inline Py_ssize_t refcount(PyObject *o) {
#ifdef Py_GIL_DISABLED
    /* One is the queue's in which a dead object waits for its thread (see below). */
    if ((o->ob_ref_shared & _Py_REF_SHARED_FLAG_MASK) == _Py_REF_QUEUED)
        return Py_REFCNT(o) - 1;
#endif
    return Py_REFCNT(o);
}
static inline int weakrefable(PyObject *o) {
    return PyType_SUPPORTS_WEAKREFS(Py_TYPE(o));
}
#if PY_VERSION_HEX >= 0x030E0000
static inline int gopark_istrue(PyObject *o, const char *name) {
    PyObject *value = PyObject_GetAttrString(o, name);
    Py_XDECREF(value); /* True and False are immortal */
    PyErr_Clear();
    return value == Py_True;
}
#endif
static inline int executing(PyObject *o) {
#if PY_VERSION_HEX < 0x030E0000
    return (PyGen_CheckExact(o) || PyCoro_CheckExact(o) || PyAsyncGen_CheckExact(o)) &&
           ((PyGenObject *)o)->gi_frame_state == 0;
#else
    if (PyAsyncGen_CheckExact(o)) /* "running" also while it waits */
        return gopark_istrue(o, "ag_running") && !gopark_istrue(o, "ag_suspended");
    return (PyGen_CheckExact(o) && gopark_istrue(o, "gi_running")) ||
           (PyCoro_CheckExact(o) && gopark_istrue(o, "cr_running"));
#endif
}

/* Between these two no other thread of the interpreter runs.  With the GIL that is
 * so anyhow, as long as the caller runs no Python code; without it this is how the
 * collector itself stops them (CPython 3.13 and 3.14). */
#ifdef Py_GIL_DISABLED
PyAPI_FUNC(void) _PyEval_StopTheWorld(PyInterpreterState *interp);
PyAPI_FUNC(void) _PyEval_StartTheWorld(PyInterpreterState *interp);
#define stopinterpreter() _PyEval_StopTheWorld(PyInterpreterState_Get())
#define startinterpreter() _PyEval_StartTheWorld(PyInterpreterState_Get())
#else
#define stopinterpreter() ((void)0)
#define startinterpreter() ((void)0)
#endif

/* Where user code stands: its code object (a new reference, or NULL), and the
 * offset of its current instruction. */
#if PY_VERSION_HEX >= 0x030C0000
PyAPI_FUNC(PyObject *) PyUnstable_InterpreterFrame_GetCode(struct _PyInterpreterFrame *frame);
PyAPI_FUNC(int) PyUnstable_InterpreterFrame_GetLasti(struct _PyInterpreterFrame *frame);
#endif
static inline PyObject *gopark_callerpc(int32_t *lasti) {
#if PY_VERSION_HEX >= 0x030C0000
#if PY_VERSION_HEX >= 0x030D0000
    struct _PyInterpreterFrame *f = PyThreadState_GET()->current_frame;
#else
    struct _PyInterpreterFrame *f = PyThreadState_GET()->cframe->current_frame;
#endif
    if (f == NULL)
        return NULL;
    *lasti = PyUnstable_InterpreterFrame_GetLasti(f);
    return PyUnstable_InterpreterFrame_GetCode(f);
#else
    PyFrameObject *f = PyEval_GetFrame();
    if (f == NULL)
        return NULL;
    *lasti = PyFrame_GetLasti(f);
    return (PyObject *)PyFrame_GetCode(f);
#endif
}

/* ---- dead objects of sleeping threads (free-threaded builds) ------------ */

/* An object that dies on another thread than its maker's waits in the maker's
 * queue until that thread next runs bytecode; bit 6 of its eval breaker says
 * that some wait (_PY_EVAL_EXPLICIT_MERGE_BIT, CPython 3.13 and 3.14). */
#ifdef Py_GIL_DISABLED
#define merge_pending(ts) \
    ((__atomic_load_n(&((PyThreadState *)(ts))->eval_breaker, __ATOMIC_RELAXED) & MERGE_BIT) != 0)
#else
#define merge_pending(ts) 0
#endif
#define this_tstate() ((void *)PyThreadState_GET())

#endif /* GOPARK_SEAM_H */
