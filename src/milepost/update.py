"""What does a caller say to change a task, and what does that make of its record?"""

from typing import Any, Final

import msgspec
from msgspec import UNSET, UnsetType

from milepost import lifecycle
from milepost.errors import Fault, Invalid
from milepost.lifecycle import LEGAL, IllegalChange, Report, Step
from milepost.start import MAX_DEPENDENCIES, MAX_TEXT, NUL, TOO_LARGE, is_too_large
from milepost.task import Counts, Failure, JsonResult, State, Task, parse_id

LABELS: Final = ("title", "description", "list_id", "assignee", "metadata")
"""What may change in any state."""


class Update(msgspec.Struct, frozen=True, kw_only=True):
    """A wish to change a task: labels of any task, and where an external one is. UNSET leaves as it is.

    `state` blocked or queued also holds and frees a waiting task that the engine runs.
    """

    title: str | None | UnsetType = UNSET
    description: str | None | UnsetType = UNSET
    list_id: str | None | UnsetType = UNSET
    assignee: str | None | UnsetType = UNSET
    metadata: dict[str, Any] | None | UnsetType = UNSET
    metadata_patch: dict[str, Any] | UnsetType = UNSET
    """Merged into the metadata, instead of replacing it."""
    depends_on: tuple[str, ...] | UnsetType = UNSET
    blocked_reason: str | None | UnsetType = UNSET
    state: State | UnsetType = UNSET
    progress: float | UnsetType = UNSET
    message: str | UnsetType = UNSET
    counts: Counts | UnsetType = UNSET
    result: msgspec.Raw | UnsetType = UNSET
    failure: Failure | UnsetType = UNSET
    lease_seconds: int | None | UnsetType = UNSET


def checked(update: Update) -> tuple[str, ...] | None:
    """The ids that the task is to wait for from now on, None where nothing was said. Raises Invalid."""
    texts = ("title", "description", "list_id", "assignee", "blocked_reason", "message")
    faults = [Fault(f"At most {MAX_TEXT} characters.", f"/{field}") for field in texts if _is_too_long(update, field)]
    faults += [Fault(NUL, f"/{field}") for field in texts if _has_nul(getattr(update, field))]
    for metadata in (update.metadata, update.metadata_patch):
        if isinstance(metadata, dict) and is_too_large(metadata):
            faults.append(Fault(TOO_LARGE, "/metadata"))
    if isinstance(update.failure, Failure):
        failure = msgspec.structs.asdict(update.failure)
        faults += [Fault(NUL, f"/failure/{field}") for field, text in failure.items() if _has_nul(text)]
    given = update.depends_on
    if isinstance(given, UnsetType):
        dependencies = None
    else:
        dependencies = tuple(dict.fromkeys(parse_id(text) or "" for text in given))
        faults += [Fault("Not a task id.", f"/depends_on/{n}") for n, text in enumerate(given) if not parse_id(text)]
        if len(given) > MAX_DEPENDENCIES:
            faults.append(Fault(f"At most {MAX_DEPENDENCIES} tasks.", "/depends_on"))
    if faults:
        raise Invalid(*faults)
    return dependencies


def _is_too_long(update: Update, field: str) -> bool:
    value = getattr(update, field)
    return isinstance(value, str) and len(value) > MAX_TEXT


def _has_nul(value: object) -> bool:
    return isinstance(value, str) and "\x00" in value


def updated(task: Task, update: Update, unmet: tuple[str, ...], now: int) -> Step:
    """What an update makes of a record; `unmet` are the dependencies that it still waits for. Raises IllegalChange."""
    given = {
        name: value for name in update.__struct_fields__ if not isinstance(value := getattr(update, name), UnsetType)
    }
    if "metadata_patch" in given:
        given["metadata"] = _patched(task, given.pop("metadata_patch"))
    if not given:
        return Step(task)
    labels: dict[str, Any] = {name: given[name] for name in LABELS if name in given}
    if task.runner == "external":
        return _driven(task, given, labels, unmet, now)
    foreign = given.keys() - {*LABELS, "depends_on", "state", "blocked_reason"}
    if foreign:
        raise IllegalChange("drive", task, f"The engine runs this task; {', '.join(sorted(foreign))} can't be set.")
    return _regulated(lifecycle.relabel(task, now=now, **labels).task, given, unmet, now, task)


def merged(target: Any, patch: Any) -> Any:
    """What a merge patch makes of a JSON value (RFC 7396, section 2): objects are merged, null removes a member."""
    if not isinstance(patch, dict):
        return patch
    before = target if isinstance(target, dict) else {}
    kept = {name: value for name, value in before.items() if name not in patch}
    return kept | {name: merged(before.get(name), value) for name, value in patch.items() if value is not None}


def _patched(task: Task, patch: dict[str, Any]) -> dict[str, Any]:
    metadata: dict[str, Any] = merged(task.metadata, patch)
    if is_too_large(metadata):
        raise IllegalChange("relabel", task, f"The metadata would be too large. {TOO_LARGE}")
    return metadata


def _regulated(labelled: Task, given: dict[str, Any], unmet: tuple[str, ...], now: int, task: Task) -> Step:
    """Hold, free or re-order a waiting task that the engine runs; `labelled` is `task` with its new labels."""
    regulates = given.keys() - {*LABELS}
    if regulates and task.state not in LEGAL["block"]:
        why = f"Of a task that is {task.state} only labels can be set, not {', '.join(sorted(regulates))}."
        raise IllegalChange("drive", task, why)
    state = given.get("state", task.state)
    waits_anew = "depends_on" in given or state is State.BLOCKED or "blocked_reason" in given
    if state is State.QUEUED and task.state is State.BLOCKED and not unmet:
        return lifecycle.unblock(_at(labelled, task), now=now)
    if state is not State.BLOCKED and state is not task.state:
        raise IllegalChange("drive", task, f"The engine runs this task; a client can't make it {state}.")
    if not waits_anew:
        return Step(labelled)
    held = state is State.BLOCKED if "state" in given else task.held
    if not (held or unmet):
        return Step(labelled) if task.state is not State.BLOCKED else lifecycle.unblock(_at(labelled, task), now=now)
    # What it waited for may be others now: the store words it anew.
    reason = given.get("blocked_reason", None if "depends_on" in given else task.blocked_reason)
    return lifecycle.block(_at(labelled, task), now=now, blocked_by=unmet, reason=reason, held=held)


def _at(labelled: Task, task: Task) -> Task:
    """The labelled record at the version of before, for a change that raises it once for both."""
    return msgspec.structs.replace(labelled, version=task.version)


def _driven(task: Task, given: dict[str, Any], labels: dict[str, Any], unmet: tuple[str, ...], now: int) -> Step:
    if given.keys() <= {*LABELS}:
        return lifecycle.relabel(task, now=now, **labels)
    _check_driven(task, given)
    raw = given.get("result")
    standing: dict[str, Any] = {name: given[name] for name in ("lease_seconds", "blocked_reason") if name in given}
    if unmet or "depends_on" in given:
        standing = {"blocked_by": unmet, "blocked_reason": None} | standing
    if given.get("state") is State.BLOCKED:
        standing["held"] = True
    return lifecycle.drive(
        msgspec.structs.replace(task, lease_seconds=given.get("lease_seconds", task.lease_seconds)),
        now=now,
        state=given.get("state", task.state),
        result=None if raw is None else JsonResult(len(bytes(raw)), raw),
        failure=given.get("failure"),
        report=Report(given.get("progress"), given.get("message"), given.get("counts")),
        **labels,
        **standing,
    )


def _check_driven(task: Task, given: dict[str, Any]) -> None:
    """What is said of an external task must fit together."""
    state = given.get("state", task.state)
    if task.state.terminal and "state" not in given:
        raise IllegalChange("drive", task, f"Of a task that is {task.state} only labels can be set.")
    for name, end in (("result", State.SUCCEEDED), ("failure", State.FAILED)):
        if name in given and state is not end:
            raise IllegalChange("drive", task, f"A {name} goes with the state {end}, not {state}.")
