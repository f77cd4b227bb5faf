"""Goroutines that wait for ever (Go: ``findGoroutineLeaks`` in ``runtime/mgc.go``).

A goroutine that waits on a channel can go on only if somebody uses that channel. If
neither a goroutine that can still run, nor a thread, nor a module can reach it any
more, nobody will.

Go's collector marks from its roots, but leaves the stacks of such candidates out; it
adds those that wait on something marked, marks on, and so to the end. What is then
unmarked has leaked. CPython's collector knows no roots. It takes a set of objects
and compares each one's reference count with the references that come from inside
the set: where the count is higher, somebody outside holds it. So:

1. The candidates are the goroutines that wait for what only another one, or a
   thread, can do (`stuck`). All that they can reach is the set (`closure`).
2. What is referred to from outside of it is in use (`markroots`), and what that
   refers to (`propagate`).
3. A candidate that waits on something in use will go on, so what its frames hold is
   in use too. One that awaits another goroutine goes on if that one does.

A goroutine's handle does not lead to what its frames hold: who has it can await the
goroutine, or cancel it, and no more. So a candidate's own count means nothing. A scope
that it is in is another thing: who can reach that may end the wait, and so can a
deadline, as the heap of timers refers to the scope.

**Never one that may go on.** All doubt counts as "in use". A reference that the
collector does not see is missing on the inside, and so counts as one from outside;
what is left out of the set (types, modules, the globals of functions, generators
that are running, goroutines that are no candidates) refers to others from outside;
counts that are no counts, of immortal objects and, without the GIL, of functions and
others whose references are not all counted, differ from what was found. Weak
references lead to their targets.

**The world must stand still** from the first look to the last, or a reference could
be moved past the walk. With the GIL it does so, as the walk runs no Python code.
Without it all threads of the interpreter are stopped, as for a collection; the
scheduler's own lists are read before that, since another thread may have been
stopped while it held a lock. What the walk does not need is that all Ms leave the
runtime: a goroutine between two states is no candidate, and whoever has taken one
out of a queue holds what it waited on.

Rejected: marking from the goroutines that can run and the modules. The references
that C code holds are then unseen, and each of them is a false alarm.
"""

import gc
from weakref import getweakrefs

import cython

from .proc import goroutines_

if cython.compiled:
    from cython.cimports.gopark.runtime.runtime2 import (
        PS_PARKED,
        G,
        M,
        Scope,
        Sudog,
        _Gwaiting,
        address,
        ref,
        waitReasonIOWait,
        waitReasonSelect,
        waitReasonSelectNoCases,
    )
    from cython.cimports.gopark.runtime.seam import (
        PyCode_Check,
        PyFunction_Check,
        PyFunction_GET_GLOBALS,
        PyModule_Check,
        PyObject,
        PyObject_IS_GC,
        PyType_Check,
        aload,
        executing,
        refcount,
        startinterpreter,
        stopinterpreter,
        traverse,
        weakrefable,
    )


def leaks_(*ours):
    """The goroutines that nobody can wake any more, oldest first.

    `ours`: containers of the runtime that are no use of what they hold.
    """
    alive = goroutines_()
    enabled = gc.isenabled()
    gc.disable()  # 3.11 collects where it allocates, and would run finalizers
    stopinterpreter()
    try:
        return findGoroutineLeaks(alive, ours)
    finally:
        startinterpreter()
        if enabled:
            gc.enable()


@cython.cfunc
def findGoroutineLeaks(alive: list, ours: tuple) -> list:
    h: Heap = Heap.__new__(Heap)
    h.candidates, h.refs, h.targets, h.waiters = {}, {}, {}, {}
    h.outside, h.reached, h.awake = set(), set(), set()
    h.found, h.todo = [], []
    gp: G
    for gp in alive:
        if stuck(gp):
            h.addcandidate(gp)
        else:
            h.outside.add(address(ref(gp)))
    if not h.candidates:
        return []
    h.closure(ours)
    h.markroots(ours)
    h.propagate()
    return [gp for a, gp in h.candidates.items() if a not in h.awake]


def stuck(gp):
    """Does it wait for something that only another goroutine, or a thread, can do?"""
    if gp.status_ != _Gwaiting or aload(gp.parkstate) != PS_PARKED:
        return False
    if gp.lockedm is not None:
        return False  # it waits in plain code: what that holds is on a thread's stack
    if gp.timer is not None and aload(gp.timer.seq) & 1:
        return False  # it sleeps, or has a timeout
    if gp.waitreason == waitReasonIOWait:
        return False  # what happens outside can wake it
    if gp.waitreason == waitReasonSelect:
        return aload(gp.selectDone) == 0
    return gp.c is not None or gp.waitreason == waitReasonSelectNoCases


def waitobjects(gp):
    """The addresses of what can end its wait: what it waits on, and the scopes that it is in."""
    found = [] if gp.c is None else [address(ref(gp.c))]
    s: Sudog = gp.waitlink
    while s is not None:
        found.append(address(ref(s.c)))
        s = s.waitlink
    scope: Scope = gp.scope
    while scope is not None:
        found.append(address(ref(scope)))
        scope = scope.parent
    return found


@cython.cclass
class Heap:
    def addcandidate(self, gp):
        a: cython.size_t = address(ref(gp))
        self.candidates[a] = gp
        self.add(a)
        for w in waitobjects(gp):
            self.waiters.setdefault(w, []).append(a)
        return 0

    def add(self, a):
        if a not in self.refs:
            self.refs[a] = 0
            self.found.append(a)
        return 0

    def closure(self, ours):
        """Count the references between all objects that candidates reach."""
        heap = cython.cast(cython.p_void, self)
        a: cython.size_t
        for o in ours:
            self.add(address(ref(o)))
        for a in self.waiters:
            if a not in self.outside:
                self.add(a)  # also a lock, which the collector does not know
        i: cython.Py_ssize_t = 0
        while i < len(self.found):  # it grows
            a = self.found[i]
            p = cython.cast(cython.pointer(PyObject), a)
            i += 1
            if PyFunction_Check(p):
                self.outside.add(address(PyFunction_GET_GLOBALS(p)))
            if not executing(p):
                traverse(p, count, heap)
            if weakrefable(p):
                self.addweakrefs(p, a)
        return 0

    def addweakrefs(self, o, a):
        for w in getweakrefs(cython.cast(object, o)):
            b: cython.size_t = address(ref(w))
            self.add(b)
            self.targets[b] = a
        return 0

    def markroots(self, ours):
        """What somebody outside refers to, and candidates that await one who is none."""
        nobodys = {address(ref(o)) for o in ours}
        a: cython.size_t
        for a in self.found:
            if a in self.candidates or a in nobodys:
                continue
            if refcount(cython.cast(cython.pointer(PyObject), a)) != self.refs[a]:
                self.reached.add(a)
                self.todo.append(a)
        for a in list(self.waiters):
            if a not in self.refs:
                self.wake(a)
        return 0

    def propagate(self):
        """Mark what is in use, and wake who waits on it, to the end."""
        heap = cython.cast(cython.p_void, self)
        while self.todo:
            a: cython.size_t = self.todo.pop()
            if a in self.candidates and a not in self.awake:
                continue  # a handle
            p = cython.cast(cython.pointer(PyObject), a)
            traverse(p, mark, heap)
            if a in self.targets:
                target: cython.size_t = self.targets[a]
                mark(cython.cast(cython.pointer(PyObject), target), heap)
            self.wake(a)
        return 0

    def wake(self, a):
        """Those who wait on this can go on."""
        for g in self.waiters.pop(a, ()):
            self.awake.add(g)
            self.todo.append(g)
        return 0


def walked(o):
    """Is it worth a look?  Not what leads to everything, and is never anybody's alone."""
    return PyObject_IS_GC(o) and not (
        PyType_Check(o)
        or PyModule_Check(o)
        or PyCode_Check(o)
        or isinstance(cython.cast(object, o), M)
    )


def count(o, heap):
    h: Heap = cython.cast(Heap, heap)
    a: cython.size_t = address(o)
    n = h.refs.get(a)
    if n is not None:
        h.refs[a] = n + 1
    elif walked(o) and a not in h.outside:
        h.refs[a] = 1
        h.found.append(a)
    return 0


def mark(o, heap):
    h: Heap = cython.cast(Heap, heap)
    a: cython.size_t = address(o)
    if a in h.refs and a not in h.reached:
        h.reached.add(a)
        h.todo.append(a)
    return 0
