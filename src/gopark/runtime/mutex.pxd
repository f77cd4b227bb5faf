from gopark.runtime.runtime2 cimport G, M, aint
from gopark.runtime.sema cimport sema

# rtMutex.state: fast paths swap 0 and MUTEX_LOCKED alone; every other change is
# made under the lock.
cdef enum:
    MUTEX_LOCKED = 1
    MUTEX_WAITING = 2    # somebody is in its queue

cdef enum:
    MUTEX_SHIELD = 1     # wanted by one who must not be cancelled

cdef class rtMutex(sema):
    cdef aint state           # [atomic] MUTEX_*
    cdef bint woken           # [guard] a waiter is on its way to try again
    cdef bint starving        # [guard] unlock hands over to the first waiter; only while there is one

cdef bint lockfast(rtMutex mu) noexcept
cdef bint lockslow(rtMutex mu, G waited, bint shield) except -1
cdef bint mutexunlock(M m, rtMutex mu) noexcept
cdef void passon(M m, rtMutex mu) noexcept
cdef object unlockmutex(rtMutex mu)
