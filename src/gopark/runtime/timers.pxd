from libc.stdint cimport int32_t, int64_t
from gopark.runtime.runtime2 cimport G, Timer, Timers, guintptr

cdef int addtimer(Timers ts, Timer t, int64_t when, int64_t period) except -1
cdef bint deltimer(Timer t) noexcept
cdef int64_t runtimers(Timers ts, int64_t now) noexcept
cdef int movetimers(Timers src, Timers dst) except -1
cdef void droptimers(Timers ts) noexcept

cdef int reserve(Timers ts) except -1
cdef void siftup(Timers ts, int32_t i) noexcept
cdef void siftdown(Timers ts, int32_t i) noexcept
cdef void place(Timers ts, int32_t i, int64_t when, guintptr t, int32_t seq) noexcept
cdef void popfirst(Timers ts) noexcept
cdef void setwake(Timers ts) noexcept
cdef int64_t clean(Timers ts) noexcept
