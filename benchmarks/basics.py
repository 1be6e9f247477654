"""How much of what the machine could do is left when Milepost does it?

Each measure is taken beside its bare limit, in the same run, a round of one after a round of the other. What counts is
their ratio: it hardly depends on the machine, and a busy one disturbs both alike. Everything runs on this machine, on
the loopback interface, in folders that are removed. Callers and servers share its processors, for both alike.
"""

import asyncio
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import uvloop
from command import parser, run, tell
from figures import Figure
from measures import MEASURES, Measure

EXAMPLES = """
examples:
  python benchmarks/basics.py                         all of it, in some minutes
  python benchmarks/basics.py --only drain --rounds 9
  python benchmarks/basics.py --json > figures.json
  python benchmarks/basics.py --check                 exit code 1 where less is reached than wanted
  python benchmarks/basics.py --folder /mnt/disk      stores lie there: what a commit costs is the disk's
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure what was asked for; the exit code."""
    wanted = parser(__doc__, EXAMPLES, [measure.name for measure in MEASURES]).parse_args(arguments)
    chosen = [measure for measure in MEASURES if not wanted.only or measure.name in wanted.only]
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        figures = [runner.run(_measured(measure, wanted.rounds, wanted.scale, wanted.folder)) for measure in chosen]
    return tell(figures, wanted)


async def _measured(measure: Measure, rounds: int, scale: float, where: Path | None) -> Figure:
    """Its rounds, each a dot to see, after one that does not count: it fills caches and grows stores."""
    _show(f"{measure.name}: {measure.what} ")
    ours, bare = list[float](), list[float]()
    count = max(2, round(measure.count * scale))
    with tempfile.TemporaryDirectory(prefix="milepost-", dir=where, ignore_cleanup_errors=True) as folder:
        async with measure.open(Path(folder), count) as pair:
            for number in range(1 + rounds):
                before = None if pair.bare is None else await pair.bare()
                after = await pair.ours()
                _show(".")
                if number:
                    ours.append(after)
                    bare += [] if before is None else [before]
    _show("\n")
    return Figure(measure.name, measure.what, measure.unit, ours, bare, measure.floor, measure.at_most)


def _show(text: str) -> None:
    print(text, end="", file=sys.stderr, flush=True)


if __name__ == "__main__":
    run(main)
