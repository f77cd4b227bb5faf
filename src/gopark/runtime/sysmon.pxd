from libc.stdint cimport int32_t
from gopark.runtime.runtime2 cimport M, P

cdef void watchps() noexcept
cdef void look(bint quick)
cdef int rearm(int32_t armed) except -1
cdef bint offinterpreter(int32_t mid) noexcept
cdef M ownerof(int32_t mid)
