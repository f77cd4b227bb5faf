from libc.stdint cimport int32_t, int64_t
from gopark.runtime.chan cimport waitq
from gopark.runtime.runtime2 cimport G, M, Sudog, mutex

# How a goroutine left the queue of a sema (G.success).
cdef enum:
    SEMA_NONE = 0        # it is in there, or has left by itself
    SEMA_GRANTED = 1     # what it waited for is its own
    SEMA_WOKEN = 2       # it may try again to lock the Mutex

cdef class sema(waitq):
    # A thing to wait for.  Its own queue is that of the waiters, in the order in
    # which they came; G.ticket says how much each of them wants.
    cdef mutex guard          # `lock` is a user's method
    cdef object __weakref__

    # What the kinds differ in.  All but obtain, retry and undo hold guard.
    cdef bint take(self, int64_t n) noexcept    # have it without waiting, if the rules allow
    cdef waitq queueof(self, int64_t n)         # where one who wants n waits
    cdef G left(self)                           # one has left the queue: who may go on now?
    cdef bint obtain(self, int64_t n, int32_t reason) except -1    # True: queued, must wait
    cdef bint retry(self, G gp) except -1       # woken: True to wait again
    cdef int undo(self, M m, G gp, int32_t how) except -1   # it has it, and shall not

cdef class SemOp:
    # `mu.lock()`, `sem.acquire(n)` ..., not yet awaited.
    cdef sema s               # None once awaited
    cdef int64_t n
    cdef int32_t reason

cdef SemOp semop(sema s, int64_t n, int32_t reason)
cdef bint semacquire(sema s, int64_t n, int32_t reason) except -1
cdef G detach(waitq q, Sudog last)
cdef G detachall(waitq q)
cdef bint trytake(sema s, int64_t n) noexcept
cdef bint unwaitsema(G gp) noexcept
cdef void enqueuefirst(waitq q, Sudog sg) noexcept
cdef void readyall(M m, G gp) noexcept
