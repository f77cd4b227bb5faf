"""What is installed: the core compiled, the GIL left alone, the data files there."""

import importlib.machinery
import importlib.metadata
import os
import subprocess
import sys
import sysconfig
import tomllib
from importlib import import_module
from pathlib import Path

import pytest

import gopark
from gopark._version import __version__

PACKAGE = Path(gopark.__file__).parent
RUNTIME = PACKAGE / "runtime"
PYPROJECT = Path(__file__).parent.parent / "pyproject.toml"

# All others of the folder are compiled. A new module stands here or in the list in setup.py.
PLAIN = {"__init__", "awaits", "errors", "seam", "signals"}
CORE = sorted({path.stem for path in RUNTIME.glob("*.py")} - PLAIN)


def test_the_core_has_modules() -> None:
    assert {"proc", "chan", "select"} <= set(CORE)


@pytest.mark.parametrize("name", CORE)
def test_compiled(name: str) -> None:
    file = import_module(f"gopark.runtime.{name}").__file__
    assert file is not None
    assert file.endswith(tuple(importlib.machinery.EXTENSION_SUFFIXES))


@pytest.mark.skipif(
    not sysconfig.get_config_var("Py_GIL_DISABLED"), reason="this interpreter always has the GIL"
)
@pytest.mark.parametrize("setting", [None, "0"])
def test_importing_everything_leaves_the_gil_off(setting: str | None) -> None:
    program = """if True:
        import pkgutil, sys
        import gopark
        for module in pkgutil.walk_packages(gopark.__path__, "gopark."):
            __import__(module.name)
        assert sys._is_gil_enabled() is False
    """
    environment = {name: value for name, value in os.environ.items() if name != "PYTHON_GIL"}
    if setting is not None:
        environment["PYTHON_GIL"] = setting
    # Without PYTHON_GIL=0 the interpreter warns when a module switches the GIL on.
    subprocess.run([sys.executable, "-W", "error", "-c", program], env=environment, check=True)


def test_version() -> None:
    assert gopark.__version__ == importlib.metadata.version("gopark") == __version__


@pytest.mark.parametrize("file", ["py.typed", "runtime/seam.h", "runtime/seam.pxd"])
def test_data_files(file: str) -> None:
    assert (PACKAGE / file).is_file()


def test_extra_for_building_is_what_the_build_system_asks_for() -> None:
    settings = tomllib.loads(PYPROJECT.read_text(encoding="utf-8"))
    build = settings["project"]["optional-dependencies"]["build"]
    assert build == settings["build-system"]["requires"]
