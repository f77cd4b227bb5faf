# What seam.h offers, for cimport.  Macros on fields are declared as functions
# of the field's type: pass the field itself, never a copy of it.
from cpython.ref cimport PyObject
from libc.stdint cimport int32_t, int64_t, uint32_t, uint64_t

# A G (or Sudog) without a reference: the runtime's own list holds that
# (Go's guintptr hides pointers from the collector in the same way).
ctypedef PyObject *guintptr

cdef extern from "seam.h" nogil:
    ctypedef int32_t aint
    ctypedef int64_t aint64
    ctypedef PyObject *aguintptr
    ctypedef struct mutex:
        pass
    ctypedef struct note:
        pass
    ctypedef struct pollqueue:
        pass

    bint GOPARK_GIL

    int32_t aload(aint)
    void astore(aint, int32_t)
    int32_t axchg(aint, int32_t)
    int32_t aadd(aint, int32_t)
    bint acas(aint, int32_t, int32_t)
    int32_t aload_acq(aint)
    void astore_rel(aint, int32_t)
    int64_t aload64(aint64)
    void astore64(aint64, int64_t)
    int64_t axchg64(aint64, int64_t)
    int64_t aadd64(aint64, int64_t)
    bint acas64(aint64, int64_t, int64_t)
    guintptr gload(aguintptr)
    void gstore(aguintptr, guintptr)
    guintptr gxchg(aguintptr, guintptr)
    bint gcas(aguintptr, guintptr, guintptr)

    void lock(mutex)
    void unlock(mutex)
    void lockinit(mutex)
    void noteclear(note)
    void notewakeup(note)
    void notesignals(note)
    void noteclose(note)
    void noterenew(note)
    int pollinit(pollqueue)
    void pollclose(pollqueue)
    int pollctl(pollqueue, int, int64_t)
    void pollunctl(pollqueue, int)
    void pollclear(pollqueue)
    void pollbreak(pollqueue)
    int pollfd(pollqueue)
    int64_t polltag(int)
    int pollmode(int)
    int64_t nanotime()
    uint32_t cheaprand(uint64_t)
    void *this_tstate()
    bint merge_pending(void *)
    bint off_interpreter(void *)
    void askbytecode(void *)
    bint inbytecode(void *)
    void fence()

    enum:
        GOPARK_MAXPROCS
        WATCH_NOTHING
        WATCH_PROBE
        WATCH_HELD
        SYSMON_LOOK
        SYSMON_STOP
        SYSMON_REFRESH
        SYSMON_OVERDUE
        SYSMON_REARM
        SYSMON_POLL
        POLL_READ
        POLL_WRITE
        POLL_LAST
    ctypedef struct pwatch:
        aint *status
        aint *runqhead
        aint *runqtail
        aint *preempt
        uint32_t *schedtick
        PyObject **runnext
        aint64 *wakeTime
        int32_t word
        uint32_t tick
        int due
    uint32_t coarse(int64_t)
    ctypedef struct sysmonstate:
        uint32_t now
        note wake
        int32_t waiting
        int32_t stop
        int32_t refresh
        int32_t n
        int32_t idle
        aint *runqsize
        aint *npidle
        aint *stopping
        int pollfd
        aint *pollwaiters
        aint64 *lastpoll
        int64_t polled
        int32_t armed
        int64_t rearm
        int64_t overdue
        pwatch p[1024]
    void gopark_sysmonwake(sysmonstate *)
    void gopark_sysmonstop(sysmonstate *)
    void gopark_sysmonrefresh(sysmonstate *)

cdef extern from "seam.h":
    int notetsleep(note, int64_t)
    int pollwait(pollqueue, int64_t, bint)
    int checkinterrupt() except -1
    void usleep_detached(int64_t)
    PyObject *tlsget()
    void tlsset(PyObject *)
    int gopark_sysmonwatch(sysmonstate *, int32_t *) except -1
    int coroutine_send(PyObject *, PyObject **)
    object take_exception()
    int setasyncexc(unsigned long, object) except -1
    void track(object)
    void untrack(object)
    int traverse(PyObject *, int (*)(PyObject *, void *) except -1, void *) except -1
    Py_ssize_t refcount(PyObject *)
    bint weakrefable(PyObject *)
    bint PyObject_IS_GC(PyObject *)
    bint PyType_Check(PyObject *)
    bint PyModule_Check(PyObject *)
    bint PyCode_Check(PyObject *)
    bint PyFunction_Check(PyObject *)
    PyObject *PyFunction_GET_GLOBALS(PyObject *)
    bint executing(PyObject *)
    void stopinterpreter()
    void startinterpreter()
    PyObject *gopark_callerpc(int32_t *)
    bint PyCoro_CheckExact(object)
    bint coroutine_fresh(PyObject *)
    object gobuiltin(object (*)(object), object)
    object coroutine_name(PyObject *)
