# The runtime's structures and their states (Go: runtime/runtime2.go).
#
# This file is their one declaration: the compiled core gets its C structs from
# it, and the uncompiled core reads the same lines (seam.declare) to give its
# Python classes the same fields.  One field a line, therefore.
#
# How to read the ownership notes:
#   [owner]   only the M that runs this G, or owns this P or M, touches it
#   [L]       guarded by the lock L
#   [atomic]  several threads, always through the seam's atomic operations
#   [const]   set before anybody else can see the object
#
# Lock order, outermost first; nobody takes a lock to the left of one he holds:
#   ArgTimer.lock < hchan.lock (by ascending channel id), sema.guard, pollDesc.lock (one at most)
#     < G.lock < Timers.lock < Sched.lock < P.allglock
#   pollDesc.lock < Sched.polllock
# Sched.scopelock is never held together with another.
# Between lock() and unlock() no Python code runs, nothing collectable is
# allocated, and no reference is dropped that may be the last one.
from cpython.ref cimport Py_INCREF, Py_XDECREF
from libc.stdint cimport int8_t, int32_t, int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from gopark.runtime.seam cimport (
    PyObject, aguintptr, aint, aint64, guintptr, mutex, note, pollqueue, aload, astore,
)

# A goroutine's state.  Who may move it on is said in proc.py, casgstatus.
cdef enum:
    _Gidle = 0       # just allocated
    _Grunnable = 1   # in exactly one run queue
    _Grunning = 2    # its M runs it; in no queue
    _Gsyscall = 3    # in plain code, and its P was taken meanwhile
    _Gwaiting = 4    # parked; in no run queue, somebody will goready it
    _Gdead = 6       # finished

# A P's state is the low 3 bits of P.status, the rest is the id of the M that
# owns it: a compare-and-swap thus never takes a P that has changed hands twice.
cdef enum:
    _Pidle = 0       # nobody's; in sched.pidle, or on its way to an M
    _Prunning = 1    # its M is inside the runtime
    _Psyscall = 2    # its M runs user code: anybody may take it with one swap
    _Pgcstop = 3     # taken by stopTheWorld
    _Pdead = 4       # beyond gomaxprocs

cdef enum:
    PSTATE_BITS = 3

# How far a goroutine's park has come (see gopark in proc.py).
cdef enum:
    PS_NONE = 0      # not parking
    PS_PARKING = 1   # a wake-up may come; its coroutine still runs
    PS_PARKED = 2    # its coroutine is suspended
    PS_READY = 3     # woken before it was suspended
    PS_GOSCHED = 4   # it will yield, and is runnable at once
    PS_CANCELLED = 5 # woken to leave what it waits in, unless somebody wakes it first

# Why a goroutine must not wait (G.cancelled).
cdef enum:
    CANCEL_SCOPE = 1     # a scope that it is in is cancelled: for as long as that is so
    CANCEL_INTERRUPT = 2 # main, after Ctrl-C: once

# Why a goroutine waits.  Texts are in runtime2.py, waitReasonStrings.
cdef enum:
    waitReasonZero = 0
    waitReasonChanReceive = 1
    waitReasonChanSend = 2
    waitReasonSelect = 3
    waitReasonSelectNoCases = 4
    waitReasonSleep = 5
    waitReasonJoin = 6
    waitReasonSyncMutexLock = 7
    waitReasonSyncRWMutexRLock = 8
    waitReasonSyncRWMutexLock = 9
    waitReasonSyncCondWait = 10
    waitReasonSyncWaitGroupWait = 11
    waitReasonSemacquire = 12
    waitReasonIOWait = 13

# How a resumed coroutine came back.
cdef enum:
    GO_RAISED = -1
    GO_RETURNED = 0
    GO_YIELDED = 1
    GO_FOREIGN = 2   # it yielded something that is not the runtime's

# Why the program ends (Sched.stopping).
cdef enum:
    STOP_NONE = 0
    STOP_MAIN = 1
    STOP_DEADLOCK = 2
    STOP_PANIC = 3
    STOP_EXIT = 4

ctypedef bint (*unwaitfunc)(G) noexcept
ctypedef void (*timerfunc)(Timer, int32_t) noexcept

cdef class Sudog:
    # A place in the wait queue of a channel, or of a sema.  A G that waits in one queue is its own
    # sudog; a select has one for each case.  Links are borrowed: the waiting
    # goroutine, which the runtime holds, owns its sudogs.
    cdef object elem          # [c.lock] the value on its way; a dead G's result
    cdef object c             # [owner] the channel, or sema, waited on
    cdef guintptr next        # [c.lock] in c's queue, or in G.waiters
    cdef guintptr prev        # [c.lock]
    cdef Sudog waitlink       # [owner] a select's sudogs, in lock order
    cdef int32_t idx          # [owner] a select case's index
    cdef uint8_t isselect        # [const]
    cdef uint8_t issend          # [owner]
    cdef uint8_t success         # [c.lock] woken by a partner, not by close; of a sema: SEMA_*
    cdef uint8_t queued          # [c.lock]

cdef class SelectSudog(Sudog):
    cdef guintptr g           # [owner] whose case it is
    cdef uint32_t order       # [owner] random: its place among cases of the same channel

cdef class Timer:
    # One timer (Go: type timer).  Odd seq: started.  Every start, firing and stop
    # moves seq on, so a heap entry or a firing of an earlier start is known as stale.
    cdef aint seq             # [atomic] written under ts.lock
    cdef int64_t when         # [ts.lock] in nanotime's clock
    cdef int64_t period       # [ts.lock] > 0: again every period ns
    cdef timerfunc f          # [const] called by runtimers, on g0, holding no lock
    cdef guintptr g           # [const] the sleeper, for goroutineReady
    cdef Timers ts            # [lock] whose heap its newest start is in
    cdef bint isselect        # [const while started] a select's timeout

cdef class ArgTimer(Timer):
    # One that a user holds.
    cdef object arg           # [const] what f needs
    cdef mutex lock           # orders start, stop, reset and firing

cdef class Scope(Timer):
    # What can be cancelled at once: a `with CancelScope()`, or the whole of a
    # goroutine.  A goroutine's scopes are a chain, from G.scope by parent; those of a
    # group's goroutines hang under the group's.  A scope is its own deadline's timer.
    cdef Scope parent         # [scopelock]
    cdef guintptr children    # [scopelock] the first; borrowed, as its goroutine holds it
    cdef guintptr sibling     # [scopelock] the next child of the same parent
    cdef guintptr elder       # [scopelock] and the one before
    cdef guintptr host        # [scopelock] the goroutine that is in it
    cdef object reason        # [scopelock] why it was cancelled, as said by who did it
    cdef object group         # [const] of a goroutine that a group started: told of its end
    cdef uint8_t called       # [scopelock] it was cancelled itself
    cdef uint8_t shielded     # [scopelock] that its parent is cancelled is nothing to it
    cdef uint8_t effective    # [scopelock] called, or its parent is effective and it not shielded
    cdef uint8_t used         # [owner] has been entered

cdef class Timers:
    # A P's timers: a 4-ary heap of (when, timer, seq), smallest when first.
    # An entry whose seq is no longer its timer's is stale, and dropped in passing.
    cdef mutex lock
    cdef int64_t *whens       # [lock]
    cdef int32_t *seqs        # [lock]
    cdef guintptr *heap       # [lock] each entry holds a reference
    cdef int32_t len          # [lock]
    cdef int32_t cap          # [lock]
    cdef int32_t stale        # [lock] entries known to be stale
    cdef aint64 wakeTime      # [atomic] whens[0], 0 for none; written under lock

cdef class G(Sudog):
    # A goroutine.  Its coroutine is the stack and the saved registers.
    cdef object coro          # [owner; lock to change it] a coroutine; or (fn, args, kwargs) before its first run
    cdef object context       # [const] contextvars.Context
    cdef object name_         # [lock] the name given, or None
    cdef object gopc          # [const] code object of the go() that made it
    cdef int32_t golasti      # [const] and the instruction there
    cdef uint32_t waitsince   # [owner] when its last wait began, by coarsetime()
    cdef int64_t goid         # [const]
    cdef aint parkstate       # [atomic] PS_*
    cdef aint selectDone      # [atomic] 0 while a select may still be won
    cdef aint cancelled       # [atomic] CANCEL_*: its waits raise
    cdef guintptr waiters     # [lock] goroutines in `await g`
    cdef M lockedm            # [owner; sched.lock once runnable] must run on this M
    cdef Timer timer          # [owner] for sleep, made once
    cdef Scope scope          # [scopelock] the innermost that it is in
    cdef int64_t ticket       # [owner, or c's lock] what it wants of a sema; a Mutex: since when
    cdef guintptr schedlink   # [sched.lock] in the global queue; .next may be in a channel's too
    cdef guintptr allnext     # [P.allglock]
    cdef guintptr allprev     # [P.allglock]
    cdef uint16_t shard       # [const] whose P's allgs it is in
    cdef uint8_t status_      # [owner] _G*
    cdef uint8_t waitreason   # [owner]
    cdef uint8_t failed       # [lock] elem holds a Failure, not a result
    cdef uint8_t raises       # [waker] on resuming, raise elem
    cdef uint8_t shield       # [owner] what it waits for must not be cancelled
    cdef uint8_t started      # [owner] its coroutine has run
    cdef mutex lock

cdef class P:
    cdef int32_t id           # [const]
    cdef aint status          # [atomic] _P* | id of the owning M << PSTATE_BITS
    cdef M m                  # [owner; sched.lock while idle] back-link
    cdef P link               # [sched.lock] next in sched.pidle
    cdef uint32_t schedtick   # [owner] counts executes that do not inherit a slice
    cdef uint32_t syscalltick # [owner] counts the times that this P was taken from user code
    cdef aint preempt         # [atomic] the running goroutine's time is over
    # The local queue: a ring.  The owner alone writes slots and runqtail; owner
    # and thieves move runqhead by compare-and-swap (see runqgrab in proc.py).
    cdef aint runqhead        # [atomic]
    cdef aint runqtail        # [atomic]
    cdef guintptr runq[256]
    cdef uint32_t runqmask    # [const] 255; smaller in tests
    cdef aguintptr runnext    # [atomic]
    cdef Timers timers        # [const]
    cdef int64_t goidcache    # [owner]
    cdef int64_t goidcacheend # [owner]
    cdef Sudog sudogcache     # [owner] free SelectSudogs, by waitlink
    cdef int32_t nsudog       # [owner]
    cdef int64_t nborn        # [owner] goroutines made here
    cdef int64_t ndied        # [owner] goroutines that ended here
    cdef int64_t nsteal       # [owner] goroutines stolen by this P
    cdef int64_t nhandoff     # [owner] times it was handed to another M
    cdef mutex allglock
    cdef guintptr allgs       # [allglock] live goroutines made here; each holds a reference

cdef class M:
    cdef int32_t id           # [const]
    cdef int32_t word         # [const] id << PSTATE_BITS
    cdef P p                  # [owner] the P that it owns, or believes to own (see enter)
    cdef P nextp              # handed over with park
    cdef guintptr curg        # [owner] the running goroutine
    cdef int32_t depth        # [owner] 0 in user code
    cdef bint spinning        # [owner; its waker before notewakeup]
    cdef bint inherit         # [owner] the G that was just taken inherits the time slice
    cdef guintptr lockedg     # [owner] it runs this goroutine alone
    cdef int32_t lockedext    # [owner] lock_os_thread calls not yet undone
    cdef bint dying           # [owner] its thread ends
    cdef bint armed           # [sysmon sets, owner clears] its code has monitoring events armed
    cdef M schedlink          # [sched.lock] next in sched.midle
    cdef note park
    cdef uint64_t rand        # [owner]
    cdef void *tstate         # [const once started] its PyThreadState
    cdef int32_t epoch        # [const] of the program that it belongs to
    cdef long ident           # [const once started] its thread's identifier
    cdef object forked        # [owner] None; in the child of a fork by its thread, how that ends

cdef class Sched:
    cdef mutex lock
    cdef mutex scopelock      # all scopes
    cdef aint running         # [atomic] 1 while a program runs
    cdef aint stopping        # [atomic] STOP_*, the first reason wins
    cdef aint gcwaiting       # [atomic] a thread wants the world to stop
    cdef aint worldsema       # [atomic] 1 while somebody stops the world
    cdef int32_t gomaxprocs   # [world stopped]
    cdef list allp            # [world stopped] of P, gomaxprocs live ones first
    cdef list allm            # [lock] of M
    cdef M m0                 # [const] the M on the thread that called run
    cdef M midle              # [lock] idle Ms, by schedlink
    cdef M poller             # [lock] the M in netpoll
    cdef int32_t nmidle       # [lock]
    cdef int32_t nmidlelocked # [lock] Ms that wait for a P for their own goroutine
    cdef int32_t nm           # [lock] Ms that exist
    cdef aint nthreads        # [atomic] threads of ours that have begun and not ended
    cdef int32_t maxthreads   # [const] how many there may be
    cdef int32_t midgen       # [lock]
    cdef P pidle              # [lock] idle Ps, by link
    cdef aint npidle          # [atomic] written under lock
    cdef aint nmspinning      # [atomic]
    cdef guintptr runqfirst   # [lock] the global queue
    cdef guintptr runqlast    # [lock]
    cdef aint runqsize        # [atomic] written under lock
    cdef aint64 goidgen       # [atomic]
    cdef aint64 lastpoll      # [atomic] 0 while an M sleeps in netpoll
    cdef aint64 pollUntil     # [atomic] until when it sleeps, 0 for ever
    cdef pollqueue pollq      # what netpoll sleeps on
    cdef aint netpollWaiters  # [atomic] goroutines that wait for a descriptor
    cdef aint pollingNet      # [atomic] 1 while an M with a P looks for events
    cdef mutex polllock
    cdef list polldescs       # [polllock] of pollDesc or None, by slot
    cdef list pollslots       # [polllock] free slots
    cdef int64_t polltags     # [polllock] registrations so far
    cdef note sysmonnote      # sysmon has ended
    cdef note exitnote        # M0 waits here for the other Ms
    cdef aint64 maxgoroutines # [const] 0 for no limit
    cdef aint64 ngoroutines   # [atomic] counted only if there is a limit
    cdef aint64 nforeign      # [atomic] goroutines made by threads without a P
    cdef G maing              # [const] main's goroutine
    cdef object exitvalue     # what ends the program, with stopping
    cdef int32_t epoch        # [running] counts the programs run in this process
    cdef unwaitfunc unwait[16] # [const] by wait reason: take a goroutine out of what it waits for
    cdef bint closing         # [M0] main has returned, what is left is being closed
    cdef bint mainexited      # main called goexit
    cdef uint64_t seed        # [const] of every M's randomness
    cdef bint child           # the process was forked from a program, and has begun none itself

cdef Sched sched
cdef object takecoro(G g)

cdef inline G gptr(guintptr x):
    if x is NULL:
        return None
    return <G>x

cdef inline Sudog sgptr(guintptr x):
    if x is NULL:
        return None
    return <Sudog>x

cdef inline Timer tptr(guintptr x):
    if x is NULL:
        return None
    return <Timer>x

cdef inline Scope scptr(guintptr x):
    if x is NULL:
        return None
    return <Scope>x

cdef inline void own(object x) noexcept:
    Py_INCREF(x)

cdef inline void disown(guintptr x) noexcept:
    Py_XDECREF(x)

cdef inline size_t address(guintptr x) noexcept:
    return <size_t>x

cdef inline guintptr ref(object x) noexcept:
    return <PyObject *>x if x is not None else NULL
