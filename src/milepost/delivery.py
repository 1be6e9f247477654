"""What adds up on the record of a standing task?

A standing task is an external one of a type that workers run: its client says where it stands, and what is delivered to
it meanwhile starts a child of the same type each. It counts them: all that were started, those that have ended, those
of them that did not succeed. Everything here is pure; stores apply it in the transaction of the child's change.
"""

from msgspec.structs import replace

from milepost import lifecycle
from milepost.lifecycle import Step
from milepost.task import Counts, State, Task


def counted(before: Task | None, after: Task) -> Counts:
    """What a change of a child adds to its parent's counts; `before` is None for its start.

    A child that begins again after its end, by a retry, is taken back.
    """
    was, now = _as_counts(before), _as_counts(after)
    return Counts(now.done - was.done, (now.total or 0) - (was.total or 0), now.failed - was.failed)


def count(standing: Task, child: Task, more: Counts, *, now: int) -> Step | None:
    """The change that a child makes of its parent's counts, None for none: of any other task, and once it has ended.

    Also while it is paused or blocked, as its children go on then.
    """
    is_delivery = standing.runner == "external" != child.runner and standing.type == child.type
    if not is_delivery or standing.state.terminal or more == NOTHING_MORE:
        return None
    before = standing.counts
    # Never out of bounds, if its client has set them to something else, or children end that an earlier life of it had.
    total = max(0, (before.total or 0) + (more.total or 0))
    done = min(total, max(0, before.done + more.done))
    failed = min(done, max(0, before.failed + more.failed))
    return lifecycle.count(standing, now=now, counts=replace(before, done=done, total=total, failed=failed))


NOTHING_MORE = Counts(total=0)


def _as_counts(child: Task | None) -> Counts:
    if child is None:
        return NOTHING_MORE
    has_ended = child.state.terminal
    return Counts(done=has_ended, total=1, failed=has_ended and child.state is not State.SUCCEEDED)
