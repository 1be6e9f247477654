"""What does a caller say to change a task, and what does that make of its record?"""

from typing import Any, Final, Literal, TypeAlias

import msgspec
from msgspec import UNSET, UnsetType

from milepost import lifecycle
from milepost.errors import Fault, Invalid
from milepost.lifecycle import LEGAL, IllegalChange, Report, Step
from milepost.start import (
    MAX_ATTEMPTS,
    MAX_DEPENDENCIES,
    MAX_TEXT,
    NO_REASON,
    NOT_BLOCKED,
    NUL,
    TOO_LARGE,
    is_too_large,
)
from milepost.task import Counts, Failure, JsonResult, State, Task, parse_id

LABELS: Final = ("title", "description", "list_id", "assignee", "metadata")
"""What may change in any state."""

_REGULATES: Final = ("depends_on", "state", "blocked_reason", "blocked_by")
"""What else may change of a task that the engine runs."""

_CLEARED: Final = ("result", "failure", "blocked_reason", "blocked_by")
"""What None, or no id, clears."""

_Act: TypeAlias = Literal["cancel", "resume", "retry"]


class Update(msgspec.Struct, frozen=True, kw_only=True):
    """A wish to change a task: labels of any task, and where an external one is. UNSET leaves as it is.

    Of a task that the engine runs, `state` blocked and queued hold and free it while it waits, cancelled cancels it,
    and queued also lets it go on where it is paused, and begin again where it failed or was cancelled.
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
    blocked_by: tuple[str, ...] | UnsetType = UNSET
    """What blocks it beside `depends_on`, for people. Whoever names it has to free the task."""
    state: State | UnsetType = UNSET
    progress: float | UnsetType = UNSET
    message: str | UnsetType = UNSET
    counts: Counts | UnsetType = UNSET
    result: msgspec.Raw | None | UnsetType = UNSET
    """None: there is to be none, as for `failure`."""
    failure: Failure | None | UnsetType = UNSET
    lease_seconds: int | None | UnsetType = UNSET
    max_attempts: int | UnsetType = UNSET
    retry_count: int | UnsetType = UNSET
    """See `Task.retry_count`; of external tasks."""


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
    for field in ("depends_on", "blocked_by"):
        faults += _id_faults(getattr(update, field), field)
    for field, least in (("max_attempts", 1), ("retry_count", 0)):
        number = getattr(update, field)
        if isinstance(number, int) and not least <= number <= MAX_ATTEMPTS:
            faults.append(Fault(f"From {least} to {MAX_ATTEMPTS}.", f"/{field}"))
    if faults:
        raise Invalid(*faults)
    return None if isinstance(update.depends_on, UnsetType) else _ids(update.depends_on)


def _is_too_long(update: Update, field: str) -> bool:
    value = getattr(update, field)
    return isinstance(value, str) and len(value) > MAX_TEXT


def _has_nul(value: object) -> bool:
    return isinstance(value, str) and "\x00" in value


def _id_faults(given: tuple[str, ...] | UnsetType, field: str) -> list[Fault]:
    if isinstance(given, UnsetType):
        return []
    faults = [Fault("Not a task id.", f"/{field}/{n}") for n, text in enumerate(given) if not parse_id(text)]
    too_many = [Fault(f"At most {MAX_DEPENDENCIES} tasks.", f"/{field}")]
    return faults + (too_many if len(given) > MAX_DEPENDENCIES else [])


def _ids(given: tuple[str, ...]) -> tuple[str, ...]:
    """The ids in their inner form, each once."""
    return tuple(dict.fromkeys(parse_id(text) or "" for text in given))


def updated(task: Task, update: Update, unmet: tuple[str, ...], now: int) -> Step:
    """What an update makes of a record; `unmet` are the dependencies that it still waits for. Raises IllegalChange."""
    given = {
        name: value for name in update.__struct_fields__ if not isinstance(value := getattr(update, name), UnsetType)
    }
    if "metadata_patch" in given:
        given["metadata"] = _patched(task, given.pop("metadata_patch"))
    given = _telling(task, given)
    if not given:
        return Step(task)
    labels: dict[str, Any] = {name: given[name] for name in LABELS if name in given}
    if task.runner == "external":
        return _driven(task, given, labels, unmet, now)
    foreign = given.keys() - {*LABELS, *_REGULATES}
    if foreign:
        raise IllegalChange("drive", task, f"The engine runs this task; {', '.join(sorted(foreign))} can't be set.")
    labelled = lifecycle.relabel(task, now=now, **labels).task
    act = _act(task, given.get("state"))
    if act is not None:
        return _asked(act, labelled if labels else task, given, unmet, now, task)
    return _regulated(labelled, given, unmet, now, task)


def _telling(task: Task, given: dict[str, Any]) -> dict[str, Any]:
    """What of it says anything new: it need not end as it has, and what is not there need not be cleared.

    A result and a failure are cleared by beginning again only. Raises IllegalChange.
    """
    cleared = {name for name in _CLEARED if name in given and given[name] in (None, ())}
    idle: set[str] = {name for name in cleared if not getattr(task, name)}
    for name in sorted(cleared - idle - {"blocked_reason", "blocked_by"}):
        if given.get("state") is not State.QUEUED:
            raise IllegalChange("drive", task, f"The {name} of a task that has ended stays until it begins again.")
        idle.add(name)
    if task.state.terminal and given.get("state") is task.state:
        idle |= {"state", *(name for name in _ENDS if name in given and _is_so(task, name, given[name]))}
    return {name: value for name, value in given.items() if name not in idle}


_ENDS: Final = ("result", "failure", "progress", "message", "counts", "retry_count", "max_attempts")
"""What is said along with an end, and may be said again: an answer can get lost."""


def _is_so(task: Task, name: str, value: Any) -> bool:
    """Whether a record that has ended says just that already."""
    if name == "result":
        kept = task.result.value if isinstance(task.result, JsonResult) else None
        return kept is not None and msgspec.json.decode(kept) == msgspec.json.decode(value)
    # What succeeded is all done, however far its client said that it was.
    return getattr(task, name) == value or (name == "progress" and task.state is State.SUCCEEDED)


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


def _act(task: Task, state: State | None) -> _Act | None:
    """What a client asks for by naming the state that a task which the engine runs is to come to."""
    if state is State.CANCELLED:
        return "cancel"
    if state is State.QUEUED and task.state is State.PAUSED:
        return "resume"
    return "retry" if state is State.QUEUED and task.state.terminal else None


def _asked(act: _Act, labelled: Task, given: dict[str, Any], unmet: tuple[str, ...], now: int, task: Task) -> Step:
    """Cancel, resume or retry a task that the engine runs; `labelled` is `task` with its new labels."""
    beside = given.keys() - {*LABELS, "state", *(("depends_on",) if act == "retry" else ())}
    if beside:
        raise IllegalChange(act, task, f"A {act} takes no {' nor '.join(sorted(beside))}.")
    ready = _at(labelled, task)
    if act == "retry":
        made = lifecycle.retry(ready, now=now, unmet=unmet)
    else:
        made = (lifecycle.cancel if act == "cancel" else lifecycle.resume)(ready, now=now)
    return Step(labelled) if made.task.version == task.version else made


def _regulated(labelled: Task, given: dict[str, Any], unmet: tuple[str, ...], now: int, task: Task) -> Step:
    """Hold, free or re-order a waiting task that the engine runs; `labelled` is `task` with its new labels."""
    regulates = given.keys() - {*LABELS}
    if regulates and task.state not in LEGAL["block"]:
        why = f"Of a task that is {task.state} only labels can be set, not {', '.join(sorted(regulates))}."
        raise IllegalChange("drive", task, why)
    state = given.get("state", task.state)
    if state is State.QUEUED and task.state is State.BLOCKED and not unmet:
        return lifecycle.unblock(_at(labelled, task), now=now)
    if state is not State.BLOCKED and state is not task.state:
        raise IllegalChange("drive", task, f"The engine runs this task; a client can't make it {state}.")
    _check_blockers(task, state, given)
    if not regulates - {"state"} and state is not State.BLOCKED:
        return Step(labelled)
    held = _is_held(task, state, given)
    if not (held or unmet):
        return Step(labelled) if task.state is not State.BLOCKED else lifecycle.unblock(_at(labelled, task), now=now)
    return lifecycle.block(_at(labelled, task), now=now, held=held, **_waits(task, given, unmet, "reason"))


def _check_blockers(task: Task, state: State, given: dict[str, Any]) -> None:
    if state is not State.BLOCKED:
        for name, why in (("blocked_by", NOT_BLOCKED), ("blocked_reason", NO_REASON)):
            if given.get(name) is not None:
                raise IllegalChange("drive", task, why)


def _is_held(task: Task, state: State, given: dict[str, Any]) -> bool:
    """Whether its client has to free it: who blocks it, or names what does."""
    return (state is State.BLOCKED if "state" in given else task.held) or bool(given.get("blocked_by"))


def _waits(task: Task, given: dict[str, Any], unmet: tuple[str, ...], reason: str) -> dict[str, Any]:
    """What a blocked task waits for, and why, which is called `reason`."""
    if "blocked_by" in given:
        named = _ids(given["blocked_by"])
    else:  # what else there is who holds it has named, unless it depended on that until now
        named = task.blocked_by if task.held and "depends_on" not in given else ()
    # What it waited for may be others now: the store words it anew.
    why = given.get("blocked_reason", None if "depends_on" in given else task.blocked_reason)
    return {"blocked_by": tuple(dict.fromkeys((*unmet, *named))), reason: why}


def _at(labelled: Task, task: Task) -> Task:
    """The labelled record at the version of before, for a change that raises it once for both."""
    return msgspec.structs.replace(labelled, version=task.version)


def _driven(task: Task, given: dict[str, Any], labels: dict[str, Any], unmet: tuple[str, ...], now: int) -> Step:
    if given.keys() <= {*LABELS}:
        return lifecycle.relabel(task, now=now, **labels)
    _check_driven(task, given)
    raw = given.get("result")
    state = given.get("state", _awaiting(task, given, unmet))
    _check_blockers(task, state, given)
    standing: dict[str, Any] = {name: given[name] for name in ("lease_seconds", "max_attempts") if name in given}
    if state is State.BLOCKED:
        standing |= _waits(task, given, unmet, "blocked_reason") | {"held": _is_held(task, state, given)}
    return lifecycle.drive(
        msgspec.structs.replace(task, lease_seconds=given.get("lease_seconds", task.lease_seconds)),
        now=now,
        state=state,
        result=None if raw is None else JsonResult(len(bytes(raw)), raw),
        failure=given.get("failure"),
        report=Report(given.get("progress"), given.get("message"), given.get("counts")),
        retry_count=given.get("retry_count"),
        **labels,
        **standing,
    )


def _awaiting(task: Task, given: dict[str, Any], unmet: tuple[str, ...]) -> State:
    """Where an external task is when its client says nothing of that: one that waits does so for what it depends on."""
    waits = task.state is State.QUEUED or (task.state is State.BLOCKED and not task.held)
    if not ("depends_on" in given and waits):
        return task.state
    return State.BLOCKED if unmet or given.get("blocked_by") else State.QUEUED


def _check_driven(task: Task, given: dict[str, Any]) -> None:
    """What is said of an external task must fit together."""
    state = given.get("state", task.state)
    if task.state.terminal and "state" not in given:
        raise IllegalChange("drive", task, f"Of a task that is {task.state} only labels can be set.")
    for name, end in (("result", State.SUCCEEDED), ("failure", State.FAILED)):
        if name in given and state is not end:
            raise IllegalChange("drive", task, f"The {name} goes with the state {end}, not {state}.")
