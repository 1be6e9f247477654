"""What has an audit found, and does it matter?"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from typing import Any, NamedTuple

from tests.audit.pins import Pin


class Hole(NamedTuple):
    """A known hole in a package that is installed. `ids`: what it is called, its own name first."""

    pin: Pin
    ids: tuple[str, ...]
    fixed_in: tuple[str, ...]

    def __str__(self) -> str:
        mended = f"mended in {', '.join(self.fixed_in)}" if self.fixed_in else "not mended so far"
        return f"{self.pin.name} {self.pin.version}: {self.ids[0]} ({', '.join(self.ids[1:]) or 'no alias'}), {mended}"


class Audit(NamedTuple):
    """What a source says of packages."""

    source: str
    """Which, and how old."""
    holes: tuple[Hole, ...]
    unknown: tuple[Pin, ...] = ()
    """Of which it says nothing."""


class Ignored(NamedTuple):
    """A hole that can't be mended yet: why that is so, and until when it is put up with."""

    id: str
    reason: str
    until: date

    @classmethod
    def of(cls, project: Mapping[str, Any]) -> list["Ignored"]:
        """The list in `pyproject.toml`. Raises TypeError for an entry that lacks something."""
        return [cls(**entry) for entry in project.get("tool", {}).get("audit", {}).get("ignored", ())]


def judged(holes: Iterable[Hole], ignored: Sequence[Ignored], today: date) -> list[str]:
    """What is to be mended, a line each: holes that nobody has accepted, and those that were accepted until now."""
    wrong = []
    for hole in holes:
        accepted = [each for each in ignored if each.id in hole.ids]
        if not accepted:
            wrong.append(str(hole))
        elif max(each.until for each in accepted) < today:
            wrong.append(f"{hole}; it was ignored until {accepted[0].until}: {accepted[0].reason}")
    return wrong
