from gopark.runtime.runtime2 cimport G, M

cdef class World:
    cdef M m                  # the caller's thread
    cdef list gs              # of G: keeps them alive, as queues only borrow
    cdef list others          # of M: idle ones, without a thread

cdef object _goid(G gp)
