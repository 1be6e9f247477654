"""How does a command get a secret without it standing on the command line, where others can read it?"""

import sys
from getpass import getpass
from pathlib import Path
from typing import Final

import typer

from milepost.cli.exits import CommandError, Exit
from milepost.cli.terminal import note

SEEN: Final = "on a command line can be read in the list of processes, and in the shell's history"
"""Said of a secret there."""


def key_option(context: typer.Context, value: str | None) -> str | None:
    """The key that `--key`, or MILEPOST_KEY, says or names (see `read`). Raises CommandError."""
    if not value or context.resilient_parsing:
        return value
    source = context.get_parameter_source("key")
    if named(value):
        return read("--key", value)
    if source is not None and source.name == "COMMANDLINE":
        note(f"milepost: --key: a key {SEEN}; set MILEPOST_KEY, or write --key @FILE, or --key - for stdin.")
    return value


def named(value: str) -> bool:
    """Whether this says where a secret is, and is none itself."""
    return value == "-" or value.startswith("@")


def read(what: str, value: str) -> str:
    """The secret in a file (`@FILE`), without the line break at its end, or the next line of stdin (`-`).

    On a terminal it is asked for, and not shown. Raises CommandError, in which it is called `what`.
    """
    try:
        secret = _line(what) if value == "-" else _file(what, value[1:])
    except OSError as error:
        raise _wrong(f"{what}: {value[1:]} can't be read ({error.strerror}).") from error
    except UnicodeDecodeError:  # which has it whole
        raise _wrong(f"{what}: not text in UTF-8.") from None
    if not secret:
        raise _wrong(f"{what}: there is nothing in {'stdin' if value == '-' else value[1:]}.")
    return secret


def _line(what: str) -> str:
    if sys.stdin.isatty():
        return getpass(f"{what}: ")
    return sys.stdin.buffer.readline().decode().rstrip("\r\n")


def _file(what: str, name: str) -> str:
    if not name:
        raise _wrong(f"{what}: the name of a file is missing after the @; - reads stdin.")
    return Path(name).read_bytes().decode().removesuffix("\n").removesuffix("\r")


def _wrong(message: str) -> CommandError:
    return CommandError(message, Exit.USAGE)
