"""Looks for known holes in what is locked: `scripts/audit [--advisories FILE]`. Ends with 1 where there are some.

With 3 where nobody could be asked about all of it: that is no hole, and no answer either. Clients of products are
looked at too; which versions of these there are is not ours to say, so that holes in them are told, and no more.
`--extract FOLDER` makes the extract that `--advisories` reads, of a database in a folder, on stdout.
"""

import argparse
import os
import sys
import tempfile
import tomllib
from collections.abc import Sequence
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Final

import msgspec

from tests.audit import extract, pins, services
from tests.audit.findings import Audit, Ignored, judged
from tests.audit.pins import Pin

ROOT: Final = Path(__file__).parents[2]
HOLES: Final = 1
NOT_AUDITED: Final = 3


def main(arguments: Sequence[str], root: Path = ROOT, today: date | None = None) -> int:
    """Do what the arguments say, and tell of it on stdout; the exit code."""
    parser = argparse.ArgumentParser(prog="scripts/audit", description=__doc__)
    parser.add_argument("--advisories", type=Path, default=os.environ.get("MILEPOST_ADVISORIES"), metavar="FILE")
    parser.add_argument("--extract", type=Path, metavar="FOLDER")
    asked = parser.parse_args(arguments)
    locked, clients = pins.locked(root / "requirements.lock"), pins.clients(root / "scripts" / "clients.sh")
    if asked.extract is not None:
        made = extract.made(asked.extract, sorted({pin.name for pin in (*locked, *clients)}))
        sys.stdout.write(msgspec.json.format(msgspec.json.encode(made)).decode() + "\n")
        return 0
    today = today or datetime.now(UTC).date()
    _tell_of_clients(clients, root, asked.advisories, today)
    audit = _audit(locked, root, asked.advisories, today)
    if audit is None:
        _say("NOT AUDITED: no service can be asked for known holes, and no extract was given (MILEPOST_ADVISORIES).")
        return NOT_AUDITED
    ignored = Ignored.of(tomllib.loads((root / "pyproject.toml").read_text("utf-8")))
    wrong = judged(audit.holes, ignored, today)
    _say(
        f"Asked {audit.source}: {len(locked) - len(audit.unknown)} packages, {len(wrong)} known holes to mend.", *wrong
    )
    if audit.unknown:
        _say(f"NOT AUDITED: {', '.join(pin.name for pin in audit.unknown)}")
    return HOLES if wrong else NOT_AUDITED if audit.unknown else 0


def _say(*lines: str) -> None:
    sys.stdout.write("".join(f"{line}\n" for line in lines))


def _audit(pinned: Sequence[Pin], root: Path, advisories: Path | None, today: date) -> Audit | None:
    """What the first one says that can be asked."""
    with tempfile.TemporaryDirectory() as folder:
        audit = services.pypi(root / ".audit" / "bin" / "pip-audit", pinned, Path(folder))
    if audit is None and advisories is not None:
        return extract.read(advisories).audit(pinned, today)
    return audit


def _tell_of_clients(clients: Sequence[Pin], root: Path, advisories: Path | None, today: date) -> None:
    """Of what the tests drive and nobody installs with Milepost."""
    audit, packages = _audit(clients, root, advisories, today), services.npm(root / ".clients" / "node")
    found = [*(str(hole) for hole in (audit.holes if audit else ())), *(packages or ())]
    _say(*(f"In a client that tests drive: {line}" for line in found))
    if audit is None or audit.unknown or packages is None:
        _say("NOT AUDITED: some of the clients that tests drive.")


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
