"""Which time is it in a process of a chaos run? The machine's, and as much more as the nemesis has put into a file.

Every interpreter that finds this folder on its path imports this module before anything else, so that `milepost serve`
and `milepost worker`, and whatever they start, run unchanged on a clock that jumps. Monotonic time does not jump, as
it does not when somebody sets the clock of a machine.
"""

import mmap
import os
import struct
import time
from pathlib import Path

if "CHAOS_CLOCK" in os.environ:
    with Path(os.environ["CHAOS_CLOCK"]).open("rb") as _file:
        _offset = mmap.mmap(_file.fileno(), 8, prot=mmap.PROT_READ)
    _time_ns = time.time_ns

    def _jumping_time_ns() -> int:
        return _time_ns() + int(struct.unpack("<q", _offset)[0]) * 1_000

    time.time_ns = _jumping_time_ns
    time.time = lambda: _jumping_time_ns() / 1e9
