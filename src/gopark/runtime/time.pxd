from libc.stdint cimport int64_t
from gopark.runtime.chan cimport hchan
from gopark.runtime.runtime2 cimport ArgTimer, G, M, Timer

cdef int64_t durationns(object seconds) except -1
cdef Timer gtimer(G gp)

cdef class rtTimer:
    # What a user's Timer or Ticker has in the runtime.
    cdef ArgTimer t           # [const]
    cdef hchan chan           # [const] where it sends the time, or None
    cdef int64_t period       # [t.lock] of a Ticker
