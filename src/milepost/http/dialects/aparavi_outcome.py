"""How is a delivery answered with what became of it?"""

from collections.abc import Iterator, Sequence
from typing import Any, Final, NamedTuple
from uuid import UUID, uuid5

import msgspec

from milepost.access.keyring import Profile
from milepost.errors import Conflict
from milepost.http.dialect import Call
from milepost.http.dialects.aparavi_answers import ObjectBody, OutcomeBody, OutcomeData, metrics_of, shown_id
from milepost.http.dialects.aparavi_words import ErrorBody, error_body, failure_text
from milepost.task import DeliveredFile, FileResult, JsonResult, State, Task

LARGEST: Final = 16 << 20
"""Bytes of a JSON result that an answer brings along; a larger one is linked to."""


class DeliveryFailed(Conflict):
    """What was delivered could not be worked on."""

    title = "The delivery failed"

    def __init__(self, code: str, detail: str) -> None:
        self.code = code  # type: ignore[misc]  # the task's own
        super().__init__(detail)


class _Found(NamedTuple):
    """What there is of one object, and why it is not complete."""

    body: ObjectBody
    error: str | None = None


async def outcome(call: Call[Any, Any], task: Task, profile: Profile) -> OutcomeBody | ErrorBody:
    """What became of a delivery, by the task that it has started, in the words of a profile."""
    files = (await call.service.cold(call.principal, task.id)).files
    data = OutcomeData(objects_requested=max(1, len(files)), objects_completed=0, id=shown_id(task))
    if not task.state.terminal:  # the server stops, or patience has ended
        return OutcomeBody("OK", data, metrics_of(task))
    if task.state is not State.SUCCEEDED:
        why = failure_text(task) or "The delivery was cancelled."
        failed = DeliveryFailed(task.failure.code if task.failure else "cancelled", why)
        told = msgspec.structs.replace(data, errors=[why])
        return error_body(failed, profile, msgspec.to_builtins(told))
    found = list(await _objects(call, task, files))
    told = msgspec.structs.replace(
        data,
        objects_completed=data.objects_requested - sum(one.error is not None for one in found),
        objects={str(uuid5(UUID(task.id), str(number))): one.body for number, one in enumerate(found)},
        errors=[f"{one.body.name}: {one.error}" for one in found if one.error is not None],
    )
    return OutcomeBody("OK", told, metrics_of(task))


async def _objects(call: Call[Any, Any], task: Task, files: Sequence[DeliveredFile]) -> Iterator[_Found]:
    """One object for each file that the result speaks of, else one for all."""
    result = task.result
    name = files[0].name if len(files) == 1 else task.type
    if isinstance(result, FileResult):
        metadata = {"media_type": result.media_type, "size": result.size, "url": await call.download(task)}
        return iter([_object(result.name, metadata, None)])
    if isinstance(result, JsonResult) and result.size > LARGEST:
        metadata = {"media_type": "application/json", "size": result.size, "url": await call.download(task)}
        return iter([_object(name, metadata, None)])
    raw = await call.service.value(call.principal, task)
    value = None if raw is None else msgspec.json.decode(raw)
    if isinstance(value, dict) and isinstance(value.get("files"), list) and all(map(_is_file, value["files"])):
        return (_object(file["name"], file, file.get("text")) for file in value["files"])
    text = value if isinstance(value, str) else None if value is None else bytes(raw or b"").decode()
    return iter([_object(name, {}, text)])


def _is_file(value: Any) -> bool:
    return isinstance(value, dict) and isinstance(value.get("name"), str)


def _object(name: str, facts: dict[str, Any], text: object) -> _Found:
    metadata = {fact: value for fact, value in facts.items() if fact not in ("name", "text")}
    has_text = isinstance(text, str)
    body = ObjectBody({"text": "text"} if has_text else {}, metadata, name, name, [str(text)] if has_text else [])
    return _Found(body, str(facts["error"]) if "error" in facts else None)
