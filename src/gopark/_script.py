"""Runs a Python file as `gopark run` does: load it, then call its `main` in a goroutine.

The script should not notice the difference from `python SCRIPT`: its `sys.argv`, `sys.path`, exit
codes, signals and tracebacks are the same. One thing differs, its `__name__`. A script that also
works without the command ends with

    if __name__ == "__main__":
        gopark.run(main())

and that must not run here as well. The standard library has a name for "the main module, loaded
without running that block": `__mp_main__`, which multiprocessing gives to it in its child
processes. By taking the same name, classes and functions of the script are pickled under a name
that those children know too.
"""

import importlib.util
import os
import sys
import types
import warnings
from collections.abc import Sequence
from importlib.machinery import SourceFileLoader
from typing import Any, NoReturn

import gopark

MODULE_NAME = "__mp_main__"


def run(script: str, args: Sequence[str], *, procs: int | None, max_goroutines: int | None) -> None:
    """Load `script` and call its `main`; an int that it returns becomes the exit code."""
    source = _read(script)
    path = os.path.abspath(script)
    module = _main_module(path)
    sys.argv = [script, *args]
    if not sys.flags.safe_path:
        sys.path[0] = os.path.dirname(os.path.realpath(script))
    if not sys.warnoptions:  # Python's own default for __main__
        warnings.filterwarnings("default", category=DeprecationWarning, module=MODULE_NAME)
    try:
        exec(compile(source, path, "exec", dont_inherit=True), module.__dict__)
        main = _main_function(script, module)
        result = gopark.run(main, procs=procs, max_goroutines=max_goroutines)
    except BaseException:
        _hide_own_frames()
        raise
    if isinstance(result, int):
        sys.exit(result)


def _read(script: str) -> bytes:
    try:
        with open(script, "rb") as file:
            source = file.read()
    except FileNotFoundError:
        _fail(f"there is no file {script!r}: give the path of a Python script.")
    except IsADirectoryError:
        _fail(f"{script!r} is a folder: give the path of a Python script in it.")
    except OSError as error:
        _fail(f"{script!r} cannot be read: {error.strerror}.")
    try:
        text = importlib.util.decode_source(source)
    except (SyntaxError, UnicodeDecodeError) as error:
        _fail(f"{script!r} is not Python source ({error}): give the path of a Python script.")
    if "\0" in text:
        _fail(f"{script!r} is a binary file: give the path of a Python script.")
    return source


def _main_module(path: str) -> types.ModuleType:
    """An empty module in the place of `__main__`."""
    module = types.ModuleType(MODULE_NAME)
    module.__file__ = path
    module.__loader__ = SourceFileLoader(MODULE_NAME, path)
    module.__package__ = None
    sys.modules["__main__"] = sys.modules[MODULE_NAME] = module
    return module


def _main_function(script: str, module: types.ModuleType) -> Any:
    if not hasattr(module, "main"):
        _fail(f"{script!r} has no main: define 'async def main():' or 'def main():' in it.")
    if not callable(module.main):
        kind = type(module.main).__name__
        _fail(f"main in {script!r} is no function but of type {kind}: define 'async def main():'.")
    return module.main


def _fail(message: str) -> NoReturn:
    print(f"Error: {message}", file=sys.stderr)
    sys.exit(2)


def _hide_own_frames() -> None:
    """Have the traceback of the exception that is about to end the program begin in the script.

    A wrapper around the hook leaves everything else, such as death by SIGINT, to the interpreter.
    """
    show = sys.excepthook

    def excepthook(
        kind: type[BaseException], error: BaseException, traceback: types.TracebackType | None
    ) -> None:
        traceback = _scripts_part(error, traceback)
        error.__traceback__ = traceback
        show(kind, error, traceback)

    sys.excepthook = excepthook


def _scripts_part(
    error: BaseException, traceback: types.TracebackType | None
) -> types.TracebackType | None:
    """`traceback` from the script's first frame on.

    Where the script has none (a deadlock, or a bug in gopark) gopark's frames stay, except for a
    script that does not compile: the place of its error is in the exception itself.
    """
    while traceback and traceback.tb_frame.f_globals is not globals():
        traceback = traceback.tb_next
    while traceback and traceback.tb_frame.f_globals is globals():
        traceback = traceback.tb_next
    scripts = traceback
    while scripts and _is_ours(scripts):
        scripts = scripts.tb_next
    if scripts is None and not isinstance(error, SyntaxError):
        return traceback
    return scripts


def _is_ours(traceback: types.TracebackType) -> bool:
    # By module, not by file: compiled functions report the path that they were compiled from.
    name: str = traceback.tb_frame.f_globals.get("__name__", "")
    return name.partition(".")[0] == "gopark"
