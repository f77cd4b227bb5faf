from libc.stdint cimport int64_t
from gopark.runtime.chan cimport waitq
from gopark.runtime.mutex cimport rtMutex
from gopark.runtime.runtime2 cimport G, M
from gopark.runtime.sema cimport sema

# What is wanted of an rtRWMutex.
cdef enum:
    RW_READ = 0
    RW_WRITE = 1

cdef class rtRWMutex(sema):
    # Readers wait in its own queue.
    cdef waitq writers        # [const] writers that wait
    cdef int64_t readers      # [guard] that read now
    cdef bint writing         # [guard] somebody writes now

cdef class rlocker:
    # `rw.reader()`
    cdef rtRWMutex rw         # [const]

cdef class rtSemaphore(sema):
    cdef int64_t size         # [const]
    cdef int64_t free         # [guard]

cdef class rtWaitGroup(sema):
    cdef int64_t counter      # [guard]

cdef class rtCond(sema):
    cdef rtMutex mu           # [const]

cdef bint rwrelease(M m, rtRWMutex rw, bint write) noexcept
cdef bint semrelease(M m, rtSemaphore s, int64_t n) noexcept
cdef G admit(rtSemaphore s)
