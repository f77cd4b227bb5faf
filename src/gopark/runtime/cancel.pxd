from libc.stdint cimport int64_t
from gopark.runtime.runtime2 cimport G, M, Scope, guintptr

cdef class CancelScope(Scope):
    cdef double _deadline     # [owner] in time.monotonic()'s seconds
    cdef bint _caught         # [owner] its block was ended by its own cancellation
    cdef object __weakref__

cdef void attach(Scope s, Scope parent) noexcept
cdef void detach(Scope s) noexcept
cdef bint iseffective(Scope s) noexcept
cdef void setcancelled(G gp, bint effective) noexcept
cdef guintptr update(Scope top, guintptr woken) noexcept
cdef void readyall(M m, guintptr woken) noexcept
cdef bint cancelscope(Scope s, object reason) except -1
cdef int startdeadline(Scope s, int64_t ns) except -1
cdef void stopdeadline(Scope s) noexcept
cdef Scope outermost(G g)
cdef int entersscope(Scope s) except -1
cdef bint leavesscope(Scope s) except -1
