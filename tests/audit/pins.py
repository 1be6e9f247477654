"""Which packages, in which versions, are to be looked at?"""

import re
from pathlib import Path
from typing import Final, NamedTuple

from packaging.utils import canonicalize_name

_LOCKED: Final = re.compile(r"^([\w.-]+)==([^\s;\\]+)", re.MULTILINE)
_CLIENT: Final = re.compile(r"'([\w.-]+)(?:\[[\w,]+\])?==([\w.]+)'")


class Pin(NamedTuple):
    """A package in the version that is installed of it; the name as registries compare it."""

    name: str
    version: str


def locked(lock: Path) -> list[Pin]:
    """What a file that pip-compile wrote names."""
    return _pins(_LOCKED, lock)


def clients(script: Path) -> list[Pin]:
    """The Python packages of products' clients, of `scripts/clients.sh`."""
    return _pins(_CLIENT, script)


def _pins(form: re.Pattern[str], file: Path) -> list[Pin]:
    return [Pin(canonicalize_name(name), version) for name, version in form.findall(file.read_text("utf-8"))]
