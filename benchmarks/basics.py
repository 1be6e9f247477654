"""How much of what the machine could do is left when Milepost does it?

Each measure is taken beside its bare limit, in the same run, a round of one after a round of the other. What counts is
their ratio: it hardly depends on the machine, and a busy one disturbs both alike. Everything runs on this machine, on
the loopback interface, in folders that are removed. Callers and servers share its processors, for both alike.
"""

import argparse
import asyncio
import platform
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import apsw
import msgspec
import uvloop
from figures import Figure, table
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
    wanted = _parser().parse_args(arguments)
    chosen = [measure for measure in MEASURES if not wanted.only or measure.name in wanted.only]
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        figures = [runner.run(_measured(measure, wanted.rounds, wanted.scale, wanted.folder)) for measure in chosen]
    if wanted.json:
        print(msgspec.json.format(msgspec.json.encode(_report(figures, wanted.rounds))).decode())
    else:
        print(f"\nmedians of {wanted.rounds} rounds; {_about()}\n\n{table(figures)}")
    return 0 if not wanted.check or all(figure.is_enough for figure in figures) else 1


async def _measured(measure: Measure, rounds: int, scale: float, where: Path | None) -> Figure:
    """Its rounds, after one that does not count: it fills caches and grows stores."""
    print(f"{measure.name}: {measure.what} …", file=sys.stderr, flush=True)
    ours, bare = list[float](), list[float]()
    count = max(2, round(measure.count * scale))
    with tempfile.TemporaryDirectory(prefix="milepost-", dir=where, ignore_cleanup_errors=True) as folder:
        async with measure.open(Path(folder), count) as pair:
            for number in range(1 + rounds if measure.rounds is None else measure.rounds):
                before = None if pair.bare is None else await pair.bare()
                after = await pair.ours()
                if number or measure.rounds is not None:
                    ours.append(after)
                    bare += [] if before is None else [before]
    return Figure(measure.name, measure.what, measure.unit, ours, bare, measure.floor, measure.at_most)


def _report(figures: Sequence[Figure], rounds: int) -> dict[str, object]:
    return {
        "about": _about(),
        "rounds": rounds,
        "figures": [
            msgspec.to_builtins(figure) | {"value": figure.value, "ratio": figure.ratio, "enough": figure.is_enough}
            for figure in figures
        ],
    }


def _about() -> str:
    return f"Python {platform.python_version()}, SQLite {apsw.sqlite_lib_version()}, {platform.platform()}"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, epilog=EXAMPLES, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    names = [measure.name for measure in MEASURES]
    parser.add_argument("--rounds", type=int, default=5, metavar="N", help="of which the medians are taken (5)")
    parser.add_argument(
        "--only", action="append", choices=names, metavar="NAME", help=f"may be repeated: {', '.join(names)}"
    )
    parser.add_argument("--json", action="store_true", help="print everything that was measured as JSON")
    parser.add_argument("--check", action="store_true", help="exit code 1 where less is reached than wanted")
    parser.add_argument("--scale", type=float, default=1.0, metavar="X", help="times as many tasks in a round (1)")
    parser.add_argument("--folder", type=Path, metavar="PATH", help="where stores are made (the system's temporary)")
    return parser


if __name__ == "__main__":
    sys.exit(main())
