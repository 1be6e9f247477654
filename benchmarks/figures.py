"""What was measured, what does it mean, and is it enough?"""

from collections.abc import Sequence
from statistics import median
from typing import Literal

import msgspec

Unit = Literal["/s", "ms", "MB", "% of a core", "times"]


class Figure(msgspec.Struct, frozen=True, omit_defaults=True):
    """Some rounds of one measure. `bare` are those of its bare limit, or of another way to do the same, each taken just
    before ours of the same place.
    """

    name: str
    what: str
    unit: Unit
    ours: list[float]
    bare: list[float] = []
    floor: float | None = None
    """The least share of the bare limit that is enough."""
    at_most: float | None = None
    """The most, in the unit, that is enough."""

    @property
    def value(self) -> float:
        """The median of ours."""
        return median(self.ours)

    @property
    def ratio(self) -> float | None:
        """The median, over the rounds, of our share of the bare limit: what disturbs a round disturbs both alike."""
        if not self.bare or self.unit != "/s":
            return None
        return median(mine / bare for mine, bare in zip(self.ours, self.bare, strict=True))

    @property
    def is_enough(self) -> bool:
        """Whether it keeps to its floor or its ceiling, where it has one."""
        if self.floor is not None and (self.ratio is None or self.ratio < self.floor):
            return False
        return self.at_most is None or self.value <= self.at_most


def table(figures: Sequence[Figure], beside: str = "bare") -> str:
    """The figures as people read them; `beside` says what they stand beside."""
    rows = [("", "", "Milepost", beside, "ratio", "wanted", "")]
    for figure in figures:
        bare = _number(median(figure.bare), figure.unit) if figure.bare else ""
        ratio = "" if figure.ratio is None else f"{figure.ratio:.2f}"
        wanted = "" if figure.floor is None else f">= {figure.floor:.2f}"
        wanted = wanted if figure.at_most is None else f"<= {figure.at_most:.4g} {figure.unit}"
        judged = "" if not wanted else "ok" if figure.is_enough else "MISSED"
        rows.append((figure.name, figure.what, _number(figure.value, figure.unit), bare, ratio, wanted, judged))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join("  ".join(map(_aligned, row, widths, _LEFT)).rstrip() for row in rows)


_LEFT = (True, True, False, False, False, True, True)


def _aligned(cell: str, width: int, left: bool) -> str:
    return cell.ljust(width) if left else cell.rjust(width)


def _number(value: float, unit: Unit) -> str:
    return f"{value:,.0f}{unit}" if unit == "/s" else f"{value:,.2f} {unit}"
