from libc.stdint cimport int32_t
from gopark.runtime.runtime2 cimport M, P

cdef void watchps() noexcept
cdef void poll() noexcept
cdef void look(bint quick)
cdef int arm(M mp) except -1
cdef void later() noexcept
cdef int rearm() except -1
cdef void askall() noexcept
cdef bint allanswered() noexcept
cdef bint offinterpreter(int32_t mid) noexcept
cdef M ownerof(int32_t mid)
