"""Compiles the core. Everything else about the package stands in pyproject.toml.

GOPARK_DEBUG=1 in the environment builds the debug flavour: assertions, bounds checks, symbols.
"""

import os
import sysconfig
from pathlib import Path

import Cython
from Cython.Build import cythonize
from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext

RUNTIME = Path("src/gopark/runtime")

# The compiled modules. The other files of the folder stay Python: `seam` is the pure-Python twin
# of seam.pxd and seam.h, `awaits` holds the coroutines that values travel through, `errors` the
# exceptions. tests/test_packaging.py knows them too.
CORE = (
    "runtime2",
    "timers",
    "netpoll",
    "proc",
    "chan",
    "select",
    "time",
    "cancel",
    "preempt",
    "sema",
    "mutex",
    "sync",
    "poll",
    "sysmon",
    "fork",
    "mgc",
    "export_test",
)

# Several interpreters may build in the same checkout; each has a suffix of its own.
SUFFIX = sysconfig.get_config_var("EXT_SUFFIX")

DEBUG = os.environ.get("GOPARK_DEBUG", "0") not in ("", "0")
FLAVOUR = "debug" if DEBUG else "release"

DIRECTIVES = {
    "language_level": 3,
    "freethreading_compatible": True,
    "binding": False,
    "always_allow_keywords": False,
    "embedsignature": True,
    "boundscheck": DEBUG,
    "wraparound": False,
    "cdivision": True,
    "initializedcheck": DEBUG,
    "nonecheck": DEBUG,
}

if DEBUG:
    MACROS = [("GOPARK_DEBUG", "1")]
    FLAGS = ["-O1", "-g", "-UNDEBUG"]
else:
    MACROS = [("CYTHON_WITHOUT_ASSERTIONS", "1")]
    FLAGS = ["-O2", "-g0"]
# What Cython generates and does not need; the C that people write here is in seam.h.
FLAGS += ["-Wno-unused-function", "-Wno-unused-variable"]


class BuildCore(build_ext):
    """Compiles for the checkout into folders that stay.

    setuptools takes temporary ones for an editable installation, and so would compile all of the
    core anew each time. Where a wheel is built, its folders are right.
    """

    def run(self) -> None:
        if self.inplace or self.editable_mode:
            self.build_lib = f"build/lib{SUFFIX}"
            self.build_temp = f"build/temp{SUFFIX}"
        super().run()


def flavour_stamp() -> str:
    """A file that changes with the flavour, so that what the other one left is rebuilt."""
    stamp = Path("build", f"flavour{SUFFIX}.txt")
    if not stamp.exists() or stamp.read_text() != FLAVOUR:
        stamp.parent.mkdir(exist_ok=True)
        stamp.write_text(FLAVOUR)
    return str(stamp)


def core() -> list[Extension]:
    """The extension modules; a missing source ends the build with its name."""
    shared = [str(path) for pattern in ("*.pxd", "*.h") for path in sorted(RUNTIME.glob(pattern))]
    extensions = [
        Extension(
            f"gopark.runtime.{name}",
            [str(RUNTIME / f"{name}.py")],
            depends=[*shared, flavour_stamp()],
            include_dirs=[str(RUNTIME)],
            define_macros=MACROS,
            extra_compile_args=FLAGS,
        )
        for name in CORE
    ]
    return cythonize(
        extensions,
        # The C files belong to a flavour and to the Cython that wrote them, not to an interpreter.
        build_dir=f"build/cython-{Cython.__version__}-{FLAVOUR}",
        compiler_directives=DIRECTIVES,
    )


setup(
    ext_modules=core(),
    cmdclass={"build_ext": BuildCore},
    options={"build_ext": {"parallel": os.cpu_count()}},
)
