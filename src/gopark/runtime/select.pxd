from gopark.runtime.chan cimport hchan
from gopark.runtime.runtime2 cimport G, M, SelectSudog

cdef SelectSudog parse(M m, G gp, tuple cases)
cdef SelectSudog sortsudogs(SelectSudog head)
cdef bint before(SelectSudog a, SelectSudog b) noexcept
cdef SelectSudog merge(SelectSudog a, SelectSudog b)
cdef void sellock(SelectSudog head) noexcept
cdef void selunlock(SelectSudog head, hchan but) noexcept
cdef SelectSudog choose(M m, SelectSudog head)
cdef bint ready(SelectSudog s) noexcept
cdef bint canproceed(hchan c, bint issend) noexcept
cdef object selectnow(M m, tuple cases)
cdef void enqueueall(SelectSudog head) noexcept
cdef void unqueueall(SelectSudog head) noexcept
cdef void freesudogs(M m, SelectSudog head) noexcept
cdef object perform(M m, SelectSudog s)
cdef object outcome(SelectSudog s)
