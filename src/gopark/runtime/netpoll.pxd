from libc.stdint cimport int64_t

cdef int netpoll(int64_t until) noexcept
cdef void netpollBreak() noexcept
cdef int64_t checkTimersNoP() noexcept
