from gopark.runtime.runtime2 cimport G
from gopark.runtime.seam cimport PyObject

cdef class Heap:
    # What leak candidates reach, by address, as long as nothing else runs.
    cdef dict candidates      # address of a G: the G
    cdef set outside          # not walked: what these refer to is in use
    cdef dict refs            # address of an object: references to it that were found
    cdef list found           # the same addresses, in the order found
    cdef dict targets         # address of a weak reference: that of its target
    cdef dict waiters         # address of what is waited on: those of the Gs that wait
    cdef set reached          # addresses of objects in use
    cdef set awake            # addresses of the candidates that are none
    cdef list todo            # in use, their referents not yet marked

    cdef int addcandidate(self, G gp) except -1
    cdef int add(self, size_t a) except -1
    cdef int closure(self, tuple ours) except -1
    cdef int addweakrefs(self, PyObject *o, size_t a) except -1
    cdef int markroots(self, tuple ours) except -1
    cdef int propagate(self) except -1
    cdef int wake(self, size_t a) except -1

cdef bint stuck(G gp)
cdef list waitobjects(G gp)
cdef bint walked(PyObject *o) noexcept
cdef int count(PyObject *o, void *heap) except -1
cdef int mark(PyObject *o, void *heap) except -1
