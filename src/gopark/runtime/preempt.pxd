from gopark.runtime.seam cimport mutex

cdef mutex _guard
