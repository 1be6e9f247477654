"""Was every acknowledged start there, and did no key ever stand for two tasks (P1, P9)?"""

from collections import Counter, defaultdict
from collections.abc import Iterator

from tests.chaos.evidence import LAST, Evidence, Violation
from tests.chaos.history import Operation


def check(evidence: Evidence) -> Iterator[Violation]:
    """All that is wrong with starts."""
    yield from _kept(evidence)
    yield from _readable(evidence)
    yield from _keys(evidence)
    yield from _tasks_of_tags(evidence)


def _kept(evidence: Evidence) -> Iterator[Violation]:
    listed = {task for operation in evidence.of("list") if operation.client == LAST for task in operation.ids}
    last = evidence.operations[-1]
    for start in evidence.starts:
        task = str(start.task)
        if task in listed and task in evidence.final:
            continue
        if not evidence.is_gone_by(task, last):
            yield Violation("P1", f"task {task} ({start.tag}) was acknowledged and is not there at the end")


def _readable(evidence: Evidence) -> Iterator[Violation]:
    """An acknowledged task is there at once, and stays until it is deleted or past its retention."""
    known: dict[str, int] = {}
    for start in evidence.starts:
        task = str(start.task)
        known[task] = min(start.completed, known.get(task, start.completed))
    for operation in evidence.operations:
        acknowledged = known.get(operation.task or "")
        if operation.status != 404 or operation.action == "result" or acknowledged is None:
            continue
        if operation.invoked > acknowledged and not evidence.is_gone_by(str(operation.task), operation):
            yield Violation("P1", f"task {operation.task} is unknown to {_named(operation)}")


def _keys(evidence: Evidence) -> Iterator[Violation]:
    """The same key is the same task; another body is refused; after the task's deletion it is gone."""
    tasks: dict[str, Operation] = {}
    for start in sorted(evidence.starts, key=lambda start: start.completed):
        if not start.keyed:
            continue
        first = tasks.setdefault(str(start.tag), start)
        if first.task != start.task:
            yield Violation("P9", f"the key {start.tag} stands for {first.task} and {start.task}")
        if start.other_body:
            yield Violation("P9", f"the key {start.tag} was taken with another body by {_named(start)}")
        gone = [d for d in evidence.may_happen("delete", str(start.task)) if d.outcome == "ok"]
        if any(deletion.completed < start.invoked for deletion in gone):
            yield Violation("P9", f"the key {start.tag} still stands for its deleted task in {_named(start)}")
    for start in evidence.of("start"):
        known = tasks.get(str(start.tag))
        if start.keyed and known is not None and known.completed < start.invoked:
            yield from _refusal(evidence, start, str(known.task))


def _refusal(evidence: Evidence, start: Operation, task: str) -> Iterator[Violation]:
    """What is answered to a key that is known to stand for a task."""
    if start.status == 422 and not start.other_body:
        yield Violation("P9", f"the key {start.tag} is refused with its own body in {_named(start)}")
    if start.status == 410 and not evidence.is_gone_by(task, start):
        yield Violation("P9", f"the key {start.tag} is told to be gone, and its task {task} is not, in {_named(start)}")
    if start.status not in (0, 200, 202, 410, 422, 500, 503):
        yield Violation("P9", f"the key {start.tag} is answered with {start.status} in {_named(start)}")


def _tasks_of_tags(evidence: Evidence) -> Iterator[Violation]:
    """No start made two tasks, and none that was refused made one."""
    there = Counter(record["title"] for record in evidence.final.values())
    tries: dict[str, list[Operation]] = defaultdict(list)
    for start in evidence.of("start"):
        if not start.other_body:
            tries[str(start.tag)].append(start)
    for tag, number in there.items():
        if number > 1:
            yield Violation("P9", f"there are {number} tasks of the start {tag}")
        if all(start.outcome == "failed" for start in tries[tag]):
            yield Violation("P1", f"every start of {tag} was refused, and there is a task of it")


def _named(operation: Operation) -> str:
    return f"operation {operation.number} ({operation.client}, {operation.action} at {operation.server})"
