"""Do processes go by a clock that jumps?"""

import os
import subprocess
import sys
from pathlib import Path

from milepost import times
from milepost.times import HOUR
from tests.chaos.clock import INTERPRETER, MachineClock

PROGRAM = "import time; from milepost import times; print(times.now(), int(time.time()), time.monotonic_ns())"


def shown(clock: MachineClock) -> tuple[int, int, int]:
    environment = os.environ | {"CHAOS_CLOCK": str(clock.path), "PYTHONPATH": str(INTERPRETER)}
    told = subprocess.run([sys.executable, "-c", PROGRAM], env=environment, capture_output=True, check=True)
    now, seconds, monotonic = map(int, told.stdout.split())
    return now, seconds, monotonic


def test_a_process_takes_its_time_from_the_clock_and_its_monotonic_time_from_elsewhere(tmp_path: Path) -> None:
    clock = MachineClock(tmp_path / "clock")
    told, before = [], times.now()
    for jump in (0, HOUR, -2 * HOUR):
        before = times.now()
        clock.jump(jump)
        now, seconds, monotonic = shown(clock)
        assert before <= now - clock.offset <= times.now()
        assert abs(seconds - now // 1_000_000) <= 1
        told.append(monotonic)
    assert told == sorted(told)
    assert clock.offset == -HOUR
    assert clock.highest >= before + HOUR
    clock.close()
