"""Load the whole of gopark from its sources, under another name, beside the compiled one.

:func:`load` gives a fresh package whose core is the very ``.py`` files that ship,
over the stand-ins of ``seam.py``; the extension modules next to them are not
looked at.  The compiled package, if it has been imported, is not touched, and as
many copies as one likes can be loaded side by side::

    gopark = load()
    gopark.run(main)        # can be stepped through in pdb

`plant` puts a bug in: ``{module: [(old, new), ...]}`` replaces source lines while
loading.  Each `old` must occur exactly once, so that a planted bug cannot
silently become none when the source changes.
"""

from __future__ import annotations

import importlib
import importlib.util
import itertools
import sys
import types
from collections.abc import Callable, Mapping, Sequence
from importlib.machinery import ModuleSpec
from pathlib import Path

Plant = Mapping[str, Sequence[tuple[str, str]]]
Prepare = Callable[[types.ModuleType], None]

_installed = importlib.util.find_spec("gopark")
assert _installed is not None
assert _installed.origin is not None
SOURCE = Path(_installed.origin).parent

# Not there in the copy.  sysmon's rounds are C, over the addresses of compiled fields;
# without it nobody takes a P but the test itself, which is what an explorer wants.
ABSENT = ("runtime.sysmon",)

_copies = itertools.count()


def load(plant: Plant | None = None, prepare: Prepare | None = None) -> types.ModuleType:
    """A fresh uncompiled copy of the package.

    `prepare` is called with the copy's ``seam`` before the other modules import
    its functions: the place to replace them.
    """
    name = f"gopark_uncompiled_{next(_copies)}"
    sources = _Sources(name, plant or {}, prepare)
    sys.meta_path.insert(0, sources)
    package = importlib.import_module(name)
    assert not sources.plant, f"no such modules: {list(sources.plant)}"
    return package


class _Sources:
    """Finds and loads the modules of one copy, from their ``.py`` files only."""

    def __init__(self, name: str, plant: Plant, prepare: Prepare | None) -> None:
        self.name = name
        self.plant = dict(plant)  # what has not been planted yet
        self.prepare = prepare

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: types.ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname != self.name and not fullname.startswith(self.name + "."):
            return None
        file = SOURCE.joinpath(*fullname.split(".")[1:])
        package = file.is_dir()
        file = file / "__init__.py" if package else file.with_suffix(".py")
        if not file.exists():
            return None
        return importlib.util.spec_from_file_location(
            fullname,
            file,
            loader=self,  # type: ignore[arg-type]
            submodule_search_locations=[str(file.parent)] if package else None,
        )

    def create_module(self, spec: ModuleSpec) -> None:
        return None

    def exec_module(self, module: types.ModuleType) -> None:
        name = module.__name__[len(self.name) + 1 :]
        if name in ABSENT:
            return
        assert module.__file__ is not None
        source = Path(module.__file__).read_text()
        for old, new in self.plant.pop(name, ()):
            assert source.count(old) == 1, (
                f"to plant a bug in {name} this text must be there once, not "
                f"{source.count(old)} times:\n{old}"
            )
            source = source.replace(old, new)
        exec(compile(source, module.__file__, "exec", dont_inherit=True), module.__dict__)
        if name == "runtime.seam" and self.prepare is not None:
            self.prepare(module)
