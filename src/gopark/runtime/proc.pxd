from libc.stdint cimport int32_t, int64_t, uint32_t
from gopark.runtime.runtime2 cimport G, M, P, SelectSudog, Sched, Sudog, guintptr, GO_FOREIGN, GO_RAISED, GO_RETURNED, GO_YIELDED
from gopark.runtime.seam cimport sysmonstate, PyCoro_CheckExact, coroutine_fresh, PyObject, coroutine_send, gopark_callerpc, take_exception
from cpython.ref cimport Py_DECREF

cdef object mustwait   # what an operation gives its async def: wait now
cdef GoschedLeaf goschedleaf
cdef object leaf       # what every wait awaits

cdef class GoschedLeaf:
    pass

cdef sysmonstate monitor

# ---- for the modules above ----
cdef M enter()
cdef void leave(M m) noexcept
cdef G getg(M m)
cdef G thisg(M m)
cdef G newproc(M m, object stack, object name, object context)
cdef G newproc1(M m, object stack, object name, object context)
cdef bint gopark(M m, G gp, int32_t reason) noexcept
cdef void goready(M m, G gp, bint next) noexcept
cdef void ready(M m, G gp, bint next) noexcept
cdef object preempted(M m, object value)
cpdef object noprogram(object otherwise)
cdef bint orphan(object end)
cdef object refuse(G gp)
cdef object cancelerror(G gp)
cdef bint callback(G gp) noexcept
cdef bint calledoff(G gp) except -1
cdef SelectSudog acquireSudog(M m)
cdef void releaseSudog(M m, SelectSudog s) noexcept
cdef void wakeNetPoller(int64_t when) noexcept

# ---- the scheduler ----
cdef M thism()
cdef int exitsyscall(M m) except -1
cdef int exitsyscall0(M m) except -1
cdef void entersyscall(M m) noexcept
cdef void scheduleloop(M m) noexcept
cdef void deadlock() noexcept
cdef bint otherthreads() noexcept
cdef bint schedule(M m) except -1
cdef int execute(M m, G gp) except -1
cdef int gogo(M m, G gp) except? -7
cdef bint mcall(M m, G gp) except -1
cdef bint park_m(M m, G gp) noexcept
cdef void gosched_m(M m, G gp) noexcept
cdef int firstrun(G gp) except? -7
cdef void abandonwait(G gp) noexcept
cdef int failed(G gp) except -1
cdef G globpop()
cdef int foreign(G gp) except -1
cdef int goexit0(M m, G gp, int how) except -1
cdef void endprogram(int32_t reason, object value) noexcept
cdef void stopped(M m, G gp, int how) noexcept
cdef void allgadd(P pp, G gp) noexcept
cdef void allgdel(G gp) noexcept

cdef G findrunnable(M m)
cdef G stealWork(M m)
cdef G injectglist(M m, guintptr toRun)
cdef void endslice(P pp) noexcept
cdef int64_t checkTimers(P pp) noexcept
cdef bint checkRunqsNoP() noexcept
cdef void becomespinning(M m) noexcept
cdef void resetspinning(M m) noexcept
cdef void wakep() noexcept
cdef void startm(P pp, bint spinning) noexcept
cdef void newm(P pp, bint spinning) noexcept
cdef bint stopm(M m) noexcept
cdef bint stoplockedm(M m) noexcept
cdef bint waitp(M m, bint dead, bint surplus) noexcept
cdef bint retirem(M m) noexcept
cdef void unlockedm(M m, G gp) noexcept
cdef void wakesysmon() noexcept
cdef object toomanythreads()
cdef int interruptmain(G gp) except -1
cdef void handoffp(P pp) noexcept
cdef bint retake(P pp) noexcept
cdef void startlockedm(M m, G gp) noexcept
cdef bint checkdead() noexcept
cdef void mput(M m) noexcept
cdef M mget()
cdef void die(G gp) noexcept
cdef void leavewait(G gp) noexcept
cdef void mexit(M m) noexcept
cdef void acquirep(M m, P pp) noexcept
cdef P releasep(M m)
cdef void pidleput(P pp) noexcept
cdef P pidleget()
cdef void globrunqput(G gp) noexcept
cdef G globrunqget(P pp, int32_t max)
cdef bint runqempty(P pp) noexcept
cdef void runqput(P pp, G gp, bint next) noexcept
cdef bint runqputslow(P pp, G gp, uint32_t h, uint32_t t) noexcept
cdef G runqget(M m, P pp)
cdef uint32_t runqgrab(P pp, P thief, bint stealrunnext) noexcept
cdef G runqsteal(P pp, P victim, bint stealrunnext)
cdef void wakemerge() noexcept
cdef void setpoller(M m) noexcept
cdef bint stopTheWorld(M m) except -1
cdef void startTheWorld(M m) noexcept
cdef void gcstopm(M m) noexcept
cdef int procresize(M m, int32_t n) except -1
cdef P newp(int32_t i)
cdef M allocm()

cdef inline int resume(G gp) noexcept:
    # Run gp's coroutine until it yields, returns or raises (its twin is in seam.py).
    cdef PyObject *out = NULL
    cdef int how = coroutine_send(<PyObject *>gp.coro, &out)
    if how == GO_YIELDED:
        if <object>out is None:
            Py_DECREF(<object>out)
            return GO_YIELDED
        gp.elem = <object>out
        Py_DECREF(<object>out)
        return GO_FOREIGN
    if how == GO_RETURNED:
        gp.elem = <object>out
        Py_DECREF(<object>out)
        return GO_RETURNED
    gp.elem = take_exception()
    return GO_RAISED

cdef inline uint32_t coarsetime() noexcept:
    # The time in hundredths of a second, as of sysmon's last round (its twin is in seam.py).
    return monitor.now

cdef inline void callerpc(G gp) noexcept:
    # Note in gp who called the running compiled function.
    cdef PyObject *code = gopark_callerpc(&gp.golasti)
    if code is not NULL:
        gp.gopc = <object>code
        Py_DECREF(<object>code)

cdef inline bint iscoro(object x) noexcept:
    return PyCoro_CheckExact(x)

cdef inline bint fresh(object coro) noexcept:
    # Has the coroutine never run?
    return coroutine_fresh(<PyObject *>coro)
