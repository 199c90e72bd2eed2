"""The command ``hpobench``: bad input, or a disk that is full or read-only, is one line and exit code 2."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import NoReturn

import typer

from hpobench_fds.cli.commands import EXIT_FAILED, EXIT_INPUT, app
from hpobench_fds.errors import HpobenchError, InputError
from hpobench_fds.wording import printable

__all__ = ["app", "main"]


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """The console script: bad input, or a disk that is full or read-only, is one line and exit code 2."""
    try:
        given = None if arguments is None else list(arguments)
        code = app(args=given, prog_name="hpobench", standalone_mode=False)
    except InputError as error:
        _fail(str(error), EXIT_INPUT)
    except HpobenchError as error:
        _fail(str(error), EXIT_FAILED)
    except OSError as error:
        place = "" if error.filename is None else f"{error.filename}: "
        _fail(f"{place}{error.strerror or error}", EXIT_INPUT)
    except Exception as error:
        # Typer's own complaints about the command line, by whichever name this version has for them.
        complaint = getattr(error, "format_message", None)
        if complaint is None:
            raise
        _fail(complaint(), EXIT_INPUT)
    sys.exit(code if isinstance(code, int) else 0)


def _fail(message: str, code: int) -> NoReturn:
    typer.echo(printable(f"error: {' '.join(message.split())}"), err=True)
    sys.exit(code)
