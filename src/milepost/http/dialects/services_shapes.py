"""What do clients of the Services API send and get: which structs read, write and document it?"""

from typing import Annotated, Any, Final, Literal, cast

import msgspec
from msgspec import UNSET, Meta, UnsetType

from milepost.http.fields import NO_NUL, Whole
from milepost.start import MAX_TEXT

Code = Literal["READY", "INPROGRESS", "DONE", "ERROR"]

MAX_LOGS: Final = 1000
MAX_TASKS: Final = 1000
MAX_OFFSET: Final = 100_000

_DATE: Final = {"format": "date-time"}
DateText = Annotated[str, Meta(extra_json_schema=_DATE)]
TaskNumber = Annotated[int, Meta(description="The task's id.")]


class Chain(Whole):
    """A chain's id."""


class LogLimit(Whole):
    """How many log entries."""

    most = MAX_LOGS


class ListLimit(Whole):
    """How many tasks."""

    most = MAX_TASKS


class ListOffset(Whole):
    """How many tasks to pass over."""

    most = MAX_OFFSET


_TEXT: Final = {"maxLength": MAX_TEXT, **NO_NUL}
_CHAIN: Final = Meta(description="The chain that the task is of: for callers of several, who don't say it in a header.")
ChainParameter = Annotated[Chain | None, _CHAIN]
_ZERO: Final = cast("Whole", 0)


class CreateBody(msgspec.Struct, frozen=True, kw_only=True):
    """A task to create."""

    chain: Annotated[Chain, Meta(description="The chain that it is for.")]
    desc: Annotated[str, Meta(description="What it is, for people.", extra_json_schema=_TEXT)]
    target: Annotated[
        dict[str, Any],
        Meta(
            description="What is to be done: `action` names it, the rest are its arguments.",
            extra_json_schema={"required": ["action"], "properties": {"action": {"type": "string"}}},
        ),
    ]
    trigger: Annotated[
        dict[str, Any] | None,
        Meta(
            description="When: `once` a date and time, `repeat` daily, weekly or monthly; with neither at once. The "
            "rest is kept as it is.",
            extra_json_schema={
                "properties": {
                    "once": {"anyOf": [{"type": "string", "format": "date-time"}, {"type": "null"}]},
                    "repeat": {"enum": ["daily", "weekly", "monthly", None]},
                }
            },
        ),
    ]
    debug: Annotated[str, Meta(extra_json_schema=_TEXT)] | None = None


class ChainQuery(msgspec.Struct, frozen=True):
    """Where the task is."""

    chain: ChainParameter = None


class ReadQuery(msgspec.Struct, frozen=True):
    """Which log entries to show."""

    log_limit: Annotated[LogLimit, Meta(description="Maximum number of log entries, the newest ones.")] = cast(
        "LogLimit", 10
    )
    offset: Annotated[Whole, Meta(description="So many of the newest log entries are passed over.")] = _ZERO
    chain: ChainParameter = None


class ListQuery(msgspec.Struct, frozen=True):
    """Which tasks to list."""

    status: Annotated[Code | None, Meta(description="In this state.")] = None
    action: Annotated[str | None, Meta(description="Whose target has this action.")] = None
    campaign_id: Annotated[Whole | None, Meta(description="Whose target has this campaign.")] = None
    limit: ListLimit = cast("ListLimit", 50)
    offset: Annotated[ListOffset, Meta(description="So many of the newest tasks are passed over.")] = cast(
        "ListOffset", 0
    )
    chain: ChainParameter = None


class StateBody(msgspec.Struct, frozen=True):
    """Where a task stands."""

    code: Code
    last_run_date: Annotated[DateText | None, Meta(description="When the last run began; null before the first.")]
    last_modified: DateText
    created_date: DateText


class EntryBody(msgspec.Struct, frozen=True, kw_only=True):
    """An entry of a task's log: a transition, or the outcome of a run, which has the counts."""

    errors: int | UnsetType = UNSET
    msg: str
    skips: int | UnsetType = UNSET
    success: int | UnsetType = UNSET
    time: DateText
    total: int | UnsetType = UNSET


class TaskBody(msgspec.Struct, frozen=True, kw_only=True):
    """A task."""

    id: int
    chain: int
    desc: str
    state: StateBody
    trigger: dict[str, Any]
    target: dict[str, Any]
    logs: Annotated[list[EntryBody], Meta(description="Oldest first.")]
    debug: str
    version: int
    result: Annotated[str, Meta(description="The name of the file that it made; empty as long as there is none.")]


class UrlBody(msgspec.Struct, frozen=True):
    """Where a file can be downloaded."""

    url: Annotated[str, Meta(extra_json_schema={"format": "uri"})]


class ErrorResult(msgspec.Struct, frozen=True):
    """That it is an error."""

    code: int = 2
    status: str = "error"


class ErrorFacts(msgspec.Struct, frozen=True):
    """Which error it is: code and name are stable, the description is for people."""

    code: int
    name: str
    description: str


class ErrorBody(msgspec.Struct, frozen=True, kw_only=True):
    """A refusal."""

    result: ErrorResult = ErrorResult()
    error: ErrorFacts
