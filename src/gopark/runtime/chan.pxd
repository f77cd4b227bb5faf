from libc.stdint cimport int64_t
from gopark.runtime.runtime2 cimport G, M, Sudog, guintptr, mutex

cdef class waitq:
    # Goroutines that wait on one side of a channel, first come first served.
    cdef guintptr first       # [c.lock]
    cdef guintptr last        # [c.lock]

cdef class hchan:
    cdef mutex lock
    cdef int64_t qcount       # [lock] values in buf
    cdef int64_t dataqsiz     # [const] the capacity
    cdef list buf             # [lock] a ring; a free slot holds None
    cdef int64_t sendx        # [lock] where the next value goes
    cdef int64_t recvx        # [lock] where the next one is taken
    cdef bint closed_         # [lock]
    cdef int64_t id           # [const] for the lock order
    cdef waitq recvq          # [const]
    cdef waitq sendq          # [const]
    cdef object __weakref__

cdef class SendOp:
    # `c.send(value)`, not yet awaited.
    cdef hchan c              # None once awaited
    cdef object value

cdef object EMPTY             # recvnow: nothing there, the lock is still held
cdef object SHUT              # recvnow: closed and drained

cdef void enqueue(waitq q, Sudog sg) noexcept
cdef Sudog dequeue(waitq q)
cdef bint unqueue(waitq q, Sudog sg) noexcept
cdef G waker(Sudog sg, bint success)
cdef int bufput(hchan c, object value) except -1
cdef bint chansend(hchan c, object value) except -1
cdef bint sendnow(M m, hchan c, object value) except -1
cdef object recvnow(M m, hchan c)
cdef object waitrecv(M m, G gp, hchan c)
cdef object yielding(M m, object value)
