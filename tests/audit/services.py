"""What do the registries' own services say of packages?"""

import json
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from packaging.utils import canonicalize_name

from tests.audit.findings import Audit, Hole
from tests.audit.pins import Pin

PATIENCE: Final = 300
"""Seconds that one of them may take."""


def pypi(program: Path, pins: Sequence[Pin], folder: Path) -> Audit | None:
    """What PyPI says, by pip-audit; None where it can't be asked.

    What pip-audit skips it calls no hole, and ends well: where it could find nothing at all, that is no answer.
    """
    requirements = folder / "requirements.txt"
    requirements.write_text("".join(f"{pin.name}=={pin.version}\n" for pin in pins))
    asked = (program, "--requirement", requirements, "--no-deps", "--disable-pip", "--format", "json")
    answer = _answer((*map(str, asked), "--progress-spinner", "off"))
    if answer is None or "dependencies" not in answer:
        return None
    holes: list[Hole] = []
    skipped: list[Pin] = []
    for found in answer["dependencies"]:
        pin = next(pin for pin in pins if pin.name == canonicalize_name(found["name"]))
        if "skip_reason" in found:
            skipped.append(pin)
        holes += [_hole(pin, each) for each in found.get("vulns", ())]
    return None if len(skipped) == len(pins) else Audit("PyPI's service, now", tuple(holes), tuple(skipped))


def _hole(pin: Pin, said: dict[str, Any]) -> Hole:
    return Hole(pin, (said["id"], *said["aliases"]), tuple(said["fix_versions"]))


def npm(folder: Path) -> list[str] | None:
    """What npm's registry says of what is installed in a folder, a line each; None where it can't be asked."""
    answer = _answer(("npm", "audit", "--json", "--prefix", str(folder)))
    if answer is None or "vulnerabilities" not in answer:
        return None
    return [
        f"{name}: {each['title']}, {each['url']}"
        for name, found in sorted(answer["vulnerabilities"].items())
        for each in found["via"]
        if isinstance(each, dict)
    ]


def _answer(command: Sequence[str]) -> dict[str, Any] | None:
    """The JSON object that a program writes, whatever it ends with: holes are an error to these."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=PATIENCE)
        answer = json.loads(done.stdout)
    except (OSError, subprocess.TimeoutExpired, json.JSONDecodeError):
        return None
    return answer if isinstance(answer, dict) else None
