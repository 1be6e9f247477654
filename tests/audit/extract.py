"""What does a stored extract of an advisory database say, where no service can be asked?

`scripts/advisories FOLDER` makes one of a database whose records have the form of OSV, in YAML or JSON: a checkout of
pypa/advisory-database, or what OSV gives out for PyPI. Only facts are kept: names, versions and dates.
"""

import json
from collections.abc import Iterable, Iterator, Sequence
from datetime import date, timedelta
from pathlib import Path
from typing import Any, Final

import msgspec
import yaml
from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion, Version

from tests.audit.findings import Audit, Hole
from tests.audit.pins import Pin

TOO_OLD: Final = timedelta(days=30)
"""Of an extract that says nothing any more: holes are found every week."""

Event = dict[str, str]
"""Where a range begins (`introduced`) or ends (`fixed`: before it; `last_affected`: with it)."""


class Advisory(msgspec.Struct, frozen=True):
    """A hole, and which versions of one package have it."""

    id: str
    aliases: tuple[str, ...]
    package: str
    ranges: tuple[tuple[Event, ...], ...]
    versions: tuple[str, ...]

    def affects(self, version: str) -> bool:
        """Whether a version has it."""
        return version in self.versions or any(_within(Version(version), events) for events in self.ranges)

    @property
    def fixed_in(self) -> tuple[str, ...]:
        """The versions that mend it, of whichever line of releases."""
        return tuple(event["fixed"] for events in self.ranges for event in events if "fixed" in event)


class Extract(msgspec.Struct, frozen=True):
    """What a database knew of some packages on a day: when the newest of its records was last touched."""

    day: date
    packages: tuple[str, ...]
    """Which were looked up, whether anything is known of them or not."""
    advisories: tuple[Advisory, ...]

    def audit(self, pins: Iterable[Pin], today: date) -> Audit:
        """What it says. Of a package that was not looked up it says nothing, and an old one of none."""
        pins = list(pins)
        source = f"the stored extract of {self.day}"
        if today - self.day > TOO_OLD:
            return Audit(f"{source}, which is too old to count", (), tuple(pins))
        holes = [
            Hole(pin, (each.id, *each.aliases), each.fixed_in)
            for pin in pins
            for each in self.advisories
            if each.package == pin.name and each.affects(pin.version)
        ]
        return Audit(source, tuple(holes), tuple(pin for pin in pins if pin.name not in self.packages))


def read(file: Path) -> Extract:
    """A stored extract. Raises OSError, and msgspec.ValidationError for what is none."""
    return msgspec.json.decode(file.read_bytes(), type=Extract)


def made(folder: Path, names: Sequence[str]) -> Extract:
    """An extract of the database in a folder, of these packages. Raises ValueError where there are no records."""
    days: list[date] = []
    found: list[Advisory] = []
    for record in _records(folder):
        days.append(date.fromisoformat(str(record["modified"])[:10]))
        if record.get("withdrawn") is None:
            found += [each for each in _advisories(record) if each.package in names]
    if not days:
        raise ValueError(f"{folder} has no advisories.")
    found.sort(key=lambda each: (each.package, each.id))
    return Extract(max(days), tuple(sorted(names)), tuple(found))


def _records(folder: Path) -> Iterator[dict[str, Any]]:
    for file in sorted(folder.rglob("*")):
        if ".github" in file.parts or file.suffix not in (".yaml", ".json"):
            continue
        text = file.read_text("utf-8")
        record = json.loads(text) if file.suffix == ".json" else yaml.load(text, Loader=yaml.CSafeLoader)
        if isinstance(record, dict) and {"id", "modified", "affected"} <= record.keys():
            yield record


def _advisories(record: dict[str, Any]) -> Iterator[Advisory]:
    for affected in record["affected"]:
        package = affected.get("package", {})
        if package.get("ecosystem") == "PyPI":
            ranges = [each for each in affected.get("ranges", ()) if each["type"] == "ECOSYSTEM"]
            yield Advisory(
                record["id"],
                tuple(record.get("aliases", ())),
                canonicalize_name(package["name"]),
                tuple(tuple(map(_event, each["events"])) for each in ranges),
                tuple(map(str, affected.get("versions", ()))),
            )


def _event(event: dict[str, Any]) -> Event:
    return {kind: str(version) for kind, version in event.items()}


def _within(version: Version, events: Sequence[Event]) -> bool:
    """Whether a version lies in a range: after the last event before it, that is."""
    inside = False
    for kind, at in sorted(_dated(events), key=lambda each: each[1]):
        if kind == "introduced" and at <= version:
            inside = True
        elif (kind == "fixed" and at <= version) or (kind == "last_affected" and at < version):
            inside = False
    return inside


def _dated(events: Sequence[Event]) -> Iterator[tuple[str, Version]]:
    for event in events:
        for kind, version in event.items():
            try:
                yield kind, Version(version)
            except InvalidVersion:  # of a release from before there was an order of them
                continue
