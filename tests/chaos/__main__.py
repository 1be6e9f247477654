"""How is a chaos run of any length started? `python -m tests.chaos --minutes 30 --seed 7`."""

import argparse
import asyncio
import secrets
import sys
import tempfile
from pathlib import Path

from tests.chaos import history, traces
from tests.chaos.checker import violations
from tests.chaos.evidence import Evidence
from tests.chaos.run import Settings, run


def main() -> int:
    """One run; 1 if a promise was broken."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description="Do the promises hold while all fails?")
    parser.add_argument("--minutes", type=float, default=30, help="how long things go wrong (default: 30)")
    parser.add_argument("--seed", type=int, help="of an earlier run, for the same faults again (default: a new one)")
    parser.add_argument("--folder", type=Path, help="an empty folder for history, traces and logs (default: a new one)")
    parser.add_argument("--judge", action="store_true", help="only judge what an earlier run has left in --folder")
    options = parser.parse_args()
    if options.judge:
        evidence = Evidence(history.read(options.folder / "history.jsonl"), traces.read(options.folder / "traces"))
        broken = violations(evidence)
        sys.stdout.write("".join(f"{violation}\n" for violation in broken))
        return 1 if broken else 0
    seed = secrets.randbelow(1_000_000) if options.seed is None else options.seed
    folder = options.folder or Path(tempfile.mkdtemp(prefix="milepost-chaos-"))
    folder.mkdir(parents=True, exist_ok=True)
    sys.stdout.write(f"Seed {seed}, files in {folder}\n")
    sys.stdout.flush()
    report = asyncio.run(run(Settings(seed, options.minutes * 60, folder)))
    sys.stdout.write(f"{report}\n")
    return 1 if report.violations else 0


if __name__ == "__main__":
    sys.exit(main())
