from gopark.runtime.runtime2 cimport G

cdef void renewnotes() noexcept
cdef void disinherit() noexcept
cdef void unlockwaits(G gp) noexcept
