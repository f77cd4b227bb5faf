"""The command `gopark`.

Click only reads the command line: a command returns what is to be done, and `main` does it after
click has returned. So the exceptions, signals and exit codes of a script never meet click's own
handling of them.
"""

import sys
from collections.abc import Callable
from typing import NoReturn

import click

from gopark import _script
from gopark._version import __version__

Action = Callable[[], None]

COUNT = click.IntRange(min=1)


@click.group()
@click.version_option(__version__, prog_name="gopark", message="%(prog)s %(version)s")
def cli() -> None:
    """Goroutines for Python."""


@cli.command(context_settings={"allow_interspersed_args": False})
@click.option("--procs", type=COUNT, metavar="N", help="Number of Ps (default: GOMAXPROCS).")
@click.option("--max-goroutines", type=COUNT, metavar="N", help="Refuse to start more than N.")
@click.argument("script")
@click.argument("args", nargs=-1, type=click.UNPROCESSED)
def run(
    procs: int | None, max_goroutines: int | None, script: str, args: tuple[str, ...]
) -> Action:
    """Call the function main() of the Python file SCRIPT in a goroutine.

    main may be async or plain. What stands after SCRIPT is the script's own, in sys.argv. An int
    that main returns is the exit code.
    """
    return lambda: _script.run(script, args, procs=procs, max_goroutines=max_goroutines)


def main() -> NoReturn:
    """Entry point of the console script and of `python -m gopark`."""
    try:
        action: Action | int = cli.main(prog_name="gopark", standalone_mode=False)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    if callable(action):
        action()
        sys.exit()
    sys.exit(action)  # --help and --version have done their work
