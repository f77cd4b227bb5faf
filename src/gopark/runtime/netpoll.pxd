from libc.stdint cimport int32_t, int64_t, uint32_t
from gopark.runtime.runtime2 cimport ArgTimer, G, guintptr, mutex
from gopark.runtime.seam cimport aint64

cdef enum:
    READ = 0         # the two directions
    WRITE = 1

cdef class pollDesc:
    # What the poller knows of a descriptor (Go: pollDesc).
    cdef mutex lock
    cdef int fd               # [const]
    cdef int32_t epoch        # [lock] the program whose poller knows it, 0 for none
    cdef int64_t tag          # [lock] what its events carry: its slot, and a number never used again
    cdef uint32_t seq[2]      # [lock] how often it has become ready
    cdef aint64 dry           # [atomic] seq[READ] when a read left nothing, -1 if none has
    cdef bint last            # [lock] POLL_LAST has come: `dry` says nothing any more
    cdef guintptr g[2]        # [lock] goroutines that wait for that, by next, newest first
    cdef int64_t deadline[2]  # [lock] nanotime, 0 for none, -1 when past
    cdef ArgTimer rt          # [lock] of the deadlines, made when first needed
    cdef ArgTimer wt          # [lock]
    cdef bint closing         # [lock]

cdef int netpollopen(pollDesc pd) except -1
cdef void netpollclose(pollDesc pd) noexcept
cdef void netpollenqueue(pollDesc pd, int mode, G gp) noexcept
cdef guintptr netpolltake(pollDesc pd, int mode) noexcept
cdef guintptr netpollgoready(guintptr waiters, guintptr toRun) noexcept
cdef guintptr netpollready(pollDesc pd, int mode, guintptr toRun) noexcept
cdef guintptr netpoll(int64_t delay) noexcept
cdef guintptr netpollblock(int64_t until) noexcept
cdef void netpollBreak() noexcept
cdef int64_t checkTimersNoP() noexcept
