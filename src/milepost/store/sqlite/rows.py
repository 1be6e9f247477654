"""How does a record become a row of the table `task`, and a row a record?"""

import logging
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from operator import itemgetter
from typing import Any, Final, NamedTuple

import msgspec
from msgspec.structs import astuple, replace

from milepost.store.sqlite.statements import SQL
from milepost.task import Counts, DeliveredFile, Failure, FileResult, JsonResult, State, Task
from milepost.trigger import Trigger

_log = logging.getLogger(__name__)

INLINE_RESULT: Final = 64 * 1024
"""JSON results of up to so many bytes are carried in the record; the statement `columns` says the same."""

_encode: Final = msgspec.json.Encoder().encode
_NO_COUNTS: Final = Counts()
_USER: Final = ("user",)


class Stored(NamedTuple):
    """A record and the number of its row."""

    row: int
    task: Task


def _json(value: Any) -> str:
    return _encode(value).decode()


def _ids(ids: tuple[str, ...]) -> str | None:
    return _json(ids) if ids else None


def _counts(counts: Counts) -> str | None:
    return None if counts == _NO_COUNTS else _json(counts)


def _roles(roles: tuple[str, ...]) -> str | None:
    return None if roles == _USER else _json(roles)


def _result(result: JsonResult | FileResult) -> str:
    return _json(JsonResult(result.size, None) if isinstance(result, JsonResult) else result)


# What is the most frequent value is NULL in the table: rows are smaller, and need no decoding.
_ENCODERS: Final[Mapping[str, Callable[[Any], Any]]] = {
    "metadata": _json,
    "counts": _counts,
    "trigger": _json,
    "depends_on": _ids,
    "blocked_by": _ids,
    "result": _result,
    "failure": _json,
    "roles": _roles,
}
_DECODERS: Final[Mapping[str, Callable[[Any], Any]]] = {
    "metadata": msgspec.json.Decoder(dict[str, Any]).decode,
    "counts": msgspec.json.Decoder(Counts).decode,
    "trigger": msgspec.json.Decoder(Trigger).decode,
    "depends_on": msgspec.json.Decoder(tuple[str, ...]).decode,
    "blocked_by": msgspec.json.Decoder(tuple[str, ...]).decode,
    "result": msgspec.json.Decoder(JsonResult | FileResult).decode,
    "failure": msgspec.json.Decoder(Failure).decode,
    "roles": msgspec.json.Decoder(tuple[str, ...]).decode,
}
_files: Final = msgspec.json.Decoder(tuple[DeliveredFile, ...]).decode
_DEFAULTS: Final[Mapping[str, Any]] = {"counts": _NO_COUNTS, "depends_on": (), "blocked_by": (), "roles": _USER}
_STATES: Final = {str(state): state for state in State}

FIELDS: Final = Task.__struct_fields__
_AT: Final = {name: index for index, name in enumerate(FIELDS)}
_ENCODED: Final = [(_AT[name], encode) for name, encode in _ENCODERS.items()]
_DECODED: Final = [(_AT[name], decode, _DEFAULTS.get(name)) for name, decode in _DECODERS.items()]
_FLAGS: Final = [
    _AT[name] for name in ("cancel_requested", "pause_requested", "continues", "apart", "held", "has_succeeded")
]
_texts: Final = itemgetter(
    -1,  # an inline result
    *(
        1 + _AT[name]
        for name in ("title", "description", "metadata", "debug", "message", "depends_on", "blocked_by", "failure")
    ),
)
_STATE: Final = _AT["state"]
_RESULT: Final = _AT["result"]


def record(row: Sequence[Any]) -> Stored:
    """The record of what the statement part `columns` selected: the row's number, the fields, an inline result."""
    number, *values, body = row
    values[_STATE] = _STATES[values[_STATE]]
    for flag in _FLAGS:
        values[flag] = values[flag] == 1
    for index, decode, default in _DECODED:
        values[index] = default if values[index] is None else decode(values[index])
    if body is not None:
        values[_RESULT] = JsonResult(len(body), msgspec.Raw(body))
    return Stored(number, Task(*values))


def size(row: Sequence[Any]) -> int:
    """How much of free length there is in what the statement part `columns` selected, in bytes or characters."""
    return sum([len(text) for text in _texts(row) if text is not None])


def _tell(row: Sequence[Any], error: Exception) -> None:
    _log.error("The record in row %s can't be read: %s", row[0], error)


def readable(
    found: Iterable[Sequence[Any]], on_unreadable: Callable[[Sequence[Any], Exception], object] = _tell
) -> list[Stored]:
    """The records of rows. One that can't be read is logged and left out: it must not stop all others."""
    stored: list[Stored] = []
    for row in found:
        try:
            stored.append(record(row))
        except (LookupError, RecursionError, TypeError, ValueError) as error:
            on_unreadable(row, error)
    return stored


def values(task: Task) -> list[Any]:
    """What the columns of a record hold, in their order."""
    cells = list(astuple(task))
    for index, encode in _ENCODED:
        if cells[index] is not None:
            cells[index] = encode(cells[index])
    return cells


def worker(row: Sequence[Any]) -> str | None:
    """Under whose lease a record is of which `columns` selected this, whether or not the rest can be read."""
    leased_to: str | None = row[1 + _AT["worker"]]
    return leased_to


def files(delivered: str | None) -> tuple[DeliveredFile, ...]:
    """The files of what the statement part `delivered` selected."""
    return () if delivered is None else _files(delivered)


def inlined(task: Task) -> Task:
    """The record as readers get it: without the value of a result that is too large to be carried along."""
    if isinstance(task.result, JsonResult) and task.result.size > INLINE_RESULT:
        return replace(task, result=JsonResult(task.result.size, None))
    return task


def _assigned(statement: str) -> list[int]:
    """Which of a record's columns an UPDATE sets, in its order."""
    assignments = statement.split("WHERE", maxsplit=1)[0]
    return [_AT[name] for name in re.findall(r"(\w+) = \?", assignments)]


_changed: Final = itemgetter(*_assigned(SQL["update_task"]))
_reported: Final = itemgetter(*_assigned(SQL["update_report"]))
_unreported: Final = itemgetter(*sorted(set(_AT.values()) - set(_assigned(SQL["update_report"]))))


def update(before: Task, after: Task) -> tuple[str, tuple[Any, ...]]:
    """The statement that writes a change and what it sets: without any index where only a report was made."""
    if before.state is after.state and _unreported(astuple(before)) == _unreported(astuple(after)):
        return SQL["update_report"], _reported(values(after))
    return SQL["update_task"], _changed(values(after))
