from libc.stdint cimport int32_t, int64_t
from gopark.runtime.netpoll cimport pollDesc
from gopark.runtime.runtime2 cimport ArgTimer, M
from gopark.runtime.seam cimport aint

cdef extern from "fd.h":
    enum:
        IO_READ
        IO_WRITE
        IO_ACCEPT
        IO_POLLIN
        IO_POLLOUT
        SCRATCH
    ctypedef struct ioop:
        int op
        char *buf
        Py_ssize_t len
    char *scratch()
    int setnonblock(int)
    Py_ssize_t fdio(int, ioop *)
    void fdclose(int)

cdef enum:
    CLOSED = 1       # the lowest bit of FD.state; above it is the number of calls under way
    CALL = 2
    WAITING = -1     # what `perform` returns for WAIT

cdef class FD:
    cdef int sysfd            # [const] the descriptor
    cdef aint state           # [atomic] CLOSED | calls under way * CALL
    cdef bint given           # detached: not ours to close
    cdef bint stream          # [const] a read that gets less than it asked for leaves nothing
    cdef pollDesc pd          # [const]
    cdef object __weakref__

cdef ArgTimer startdeadline(M m, pollDesc pd, int mode, int64_t when, ArgTimer t)
