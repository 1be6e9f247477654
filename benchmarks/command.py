"""What can be asked of a benchmark, and how does it say what it found?"""

import argparse
import platform
import signal
import sys
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import NoReturn

import apsw
import msgspec
from figures import Figure, table


def run(main: Callable[[], int]) -> NoReturn:
    """Carry a benchmark out, and exit. SIGTERM ends it as Ctrl-C does: with all the processes that it has started."""
    signal.signal(signal.SIGTERM, lambda *_: signal.raise_signal(signal.SIGINT))
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(128 + signal.SIGINT)


def parser(about: str | None, examples: str, names: Collection[str]) -> argparse.ArgumentParser:
    """The options that all benchmarks have; `names` are what `--only` may choose from."""
    made = argparse.ArgumentParser(
        description=about, epilog=examples, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    made.add_argument("--rounds", type=int, default=5, metavar="N", help="of which the medians are taken (5)")
    made.add_argument(
        "--only", action="append", choices=names, metavar="NAME", help=f"may be repeated: {', '.join(names)}"
    )
    made.add_argument("--json", action="store_true", help="print everything that was measured as JSON")
    made.add_argument("--check", action="store_true", help="exit code 1 where less is reached than wanted")
    made.add_argument("--scale", type=float, default=1.0, metavar="X", help="times as many tasks in a round (1)")
    made.add_argument("--folder", type=Path, metavar="PATH", help="where stores are made (the system's temporary)")
    return made


def tell(figures: Sequence[Figure], wanted: argparse.Namespace, *, beside: str = "bare") -> int:
    """Print the figures as was wanted; the exit code. `beside` is what they stand beside."""
    if wanted.json:
        print(msgspec.json.format(msgspec.json.encode(_report(figures, wanted.rounds))).decode())
    else:
        print(f"\nmedians of {wanted.rounds} rounds; {_about()}\n\n{table(figures, beside)}")
    return 0 if not wanted.check or all(figure.is_enough for figure in figures) else 1


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
