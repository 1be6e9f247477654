"""Does a trace tell what was saved from what was not?"""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from milepost.engine.outcome import Parked, StopReason
from tests.chaos.traces import Trace, read


@pytest.mark.parametrize(
    ("reason", "is_saved", "expected"),
    [
        (StopReason.PAUSE, True, "saved"),
        (StopReason.LEASE_LOST, False, "refused"),
        (StopReason.LEASE_LOST, True, "saved"),  # in time, and then the lease was over
    ],
)
def test_what_a_checkpoint_that_parks_has_saved(
    reason: StopReason, is_saved: bool, expected: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CHAOS_TRACES", str(tmp_path))
    ctx: Any = SimpleNamespace(task=SimpleNamespace(id="task-1", epoch=1, run=1), saved={"step": 1})
    trace = Trace(ctx)

    def checkpoint() -> None:
        with trace.saving(2):
            ctx.saved = {"step": 2} if is_saved else ctx.saved
            raise Parked(reason)

    with pytest.raises(Parked):
        checkpoint()
    trace.end(2)
    told = [(mark.event, mark.step) for mark in read(tmp_path)["task-1"]]
    assert told == [("begun", 1), ("saving", 2), (expected, 2), ("ended", 2)]
