"""Tasks at the beginning of their lives, as tests of the rules need them: no store, no clock but `T`."""

from typing import Any

from msgspec import Raw

from milepost import lifecycle, trigger
from milepost.task import Failure, JsonResult, Task
from milepost.times import DAY, from_rfc3339
from milepost.trigger import Trigger

T = from_rfc3339("2026-11-23T07:00:00Z")
BROKEN = Failure("broken", "It broke.")
ROWS = JsonResult(2, Raw(b"[]"))
DAILY, _ = trigger.first(Trigger(every=DAY), now=T, run_at=None)
HOURLY, _ = trigger.first(Trigger(cron="0 * * * *"), now=T, run_at=None)


def draft(**fields: Any) -> Task:
    """A record that has not begun, kept for 7 and 30 days."""
    record: dict[str, Any] = {"id": "task", "tenant": "acme", "owner": "bob", "type": "export"}
    kept = {"created_at": 0, "updated_at": 0, "keep_result": 7 * DAY, "keep_record": 30 * DAY}
    return Task(**(record | kept | fields))


def external(**fields: Any) -> Task:
    """One that a client drives, under a lease of a minute."""
    return draft(runner="external", lease_seconds=60, **fields)


def queued(**fields: Any) -> Task:
    """A task that has begun, at `T`."""
    return lifecycle.begin(draft(**fields), now=T).task


def running(**fields: Any) -> Task:
    """The same, claimed at once."""
    return lifecycle.claim(queued(**fields), now=T, worker="w1").task
