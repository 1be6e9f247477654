"""What does the native API take: which structs read its requests and document them?"""

from typing import Annotated, Any, Final, Literal, cast

import msgspec
from msgspec import UNSET, Meta, UnsetType

from milepost.http.fields import NO_NUL, Interval, Time, Timeout, Whole
from milepost.http.prefer import LONGEST
from milepost.start import MAX_ATTEMPTS, MAX_DEPENDENCIES, MAX_KEY, MAX_NAME, MAX_PRIORITY, MAX_TEXT
from milepost.task import TYPE_NAME, DependencyFailure, Runner, State
from milepost.times import LONGEST_DURATION, SECOND
from milepost.trigger import Repeat
from milepost.webhook import MAX_URL

_TYPE_NAME: Final = {"pattern": f"^{TYPE_NAME.pattern}$"}

_UUID: Final = {"pattern": "^([0-9a-fA-F]{32}|[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12})$"}

CALLBACK_PATTERN: Final = "^https?://[a-z0-9]{1,40}([.-][a-z0-9]{1,20}){0,3}(:[1-9][0-9]{0,3})?(/[A-Za-z0-9._~-]*)*$"
"""URLs that are taken. So are others, which a pattern could not say."""

TypeName = Annotated[str, Meta(description="A task type's name.", extra_json_schema=_TYPE_NAME)]
TaskId = Annotated[str, Meta(description="A task's id: a UUID, dashed or not, in any case.", extra_json_schema=_UUID)]
OtherId = Annotated[str, Meta(extra_json_schema=_UUID)]
Text = Annotated[str, Meta(max_length=MAX_TEXT, extra_json_schema=NO_NUL)]
Label = Annotated[str, Meta(extra_json_schema=NO_NUL | {"maxLength": MAX_TEXT})]
Name = Annotated[str, Meta(extra_json_schema=NO_NUL | {"minLength": 1, "maxLength": MAX_NAME})]
UniqueKey = Annotated[str, Meta(extra_json_schema=NO_NUL | {"minLength": 1, "maxLength": MAX_TEXT})]
Dependencies = Annotated[tuple[OtherId, ...], Meta(extra_json_schema={"maxItems": MAX_DEPENDENCIES})]
Wait = Annotated[float, Meta(ge=0, le=LONGEST, description="Seconds to wait at most.")]
Expression = Annotated[str, Meta(min_length=1, max_length=200)]
CallbackUrl = Annotated[
    str, Meta(extra_json_schema={"format": "uri", "pattern": CALLBACK_PATTERN, "maxLength": MAX_URL})
]
_ZERO: Final = cast("Whole", 0)
Part = Literal["input", "checkpoint", "traceback", "files"]

Key = Annotated[
    str,
    Meta(
        extra_json_schema={"pattern": f"^[!-~]([ -~]{{0,{MAX_KEY - 2}}}[!-~])?$"},
        description="The same key with the same body is the same task, for 24 hours; with another body it is refused.",
    ),
]
LineKey = Annotated[str, Meta(max_length=MAX_KEY, pattern="^[ -~]+$")]
Disposition = Annotated[
    str,
    Meta(
        description='The body is a file of this name: `attachment; filename="a.txt"` (RFC 6266).',
        extra_json_schema={"pattern": "^[!-~]([ -~]*[!-~])?$"},
    ),
]
Prefer = Annotated[str, Meta(description="`wait=N` waits up to N seconds, 60 at most, for the end (RFC 7240).")]
_TAG: Final = '(W/)?"[!#-~]*"'
IfMatch = Annotated[
    str,
    Meta(
        description="An ETag: refused with 412 if the record has changed since.",
        extra_json_schema={"pattern": f"^([*]|{_TAG}( *, *{_TAG})*)$"},
    ),
]
IfNoneMatch = Annotated[str, Meta(description="An ETag: answered with 304 if nothing has changed since.")]
LastEventId = Annotated[
    str,
    Meta(
        description="The last event's id; what came after it follows.", extra_json_schema={"pattern": "^[0-9]{0,18}$"}
    ),
]
Range = Annotated[str, Meta(description="One range of bytes, such as `bytes=0-1023`.")]
IfRange = Annotated[str, Meta(description="The ETag that the range is meant of.")]


class Priority(Whole):
    """Which of two queued tasks goes first."""

    least = -MAX_PRIORITY
    most = MAX_PRIORITY


class Attempts(Whole):
    """How many tries count."""

    least = 1
    most = MAX_ATTEMPTS


class Lease(Whole):
    """Whole seconds of silence."""

    least = 1
    most = LONGEST_DURATION // SECOND


class PageSize(Whole):
    """How many to read at once."""

    least = 1
    most = 200


class LogPageSize(Whole):
    """How many entries to read at once."""

    least = 1
    most = 1000


class TriggerBody(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """When a task runs; exactly one of `once`, `every`, `repeat` and `cron` is given."""

    once: Annotated[Time | None, Meta(description="The only time.")] = None
    every: Annotated[Interval | None, Meta(description="From one due time to the next, as seconds or `1h30m`.")] = None
    repeat: Annotated[Repeat | None, Meta(description="At the same wall-clock time as the first run.")] = None
    cron: Annotated[Expression | None, Meta(description="Five fields as in crontab, or six with seconds first.")] = None
    timezone: Annotated[str, Meta(max_length=100, description="IANA name; what `repeat` and `cron` are meant in.")] = (
        "UTC"
    )


_ONE_OF_FOUR: Final = {
    "oneOf": [
        {"type": "object", "required": [name], "properties": {name: {"not": {"type": "null"}}}}
        for name in ("once", "every", "repeat", "cron")
    ]
    + [{"type": "null"}]
}


class StartBody(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A task to start."""

    # Bounds that the service checks itself, so that all that is wrong is told at once, are only written down here.
    type: Annotated[
        str,
        Meta(
            description="The task type; see `GET /v1/types`.",
            extra_json_schema=_TYPE_NAME,
        ),
    ]
    input: Annotated[dict[str, Any], Meta(description="The arguments, checked against the type's schema.")] = {}
    title: Label | None = None
    description: Label | None = None
    tenant: Annotated[Name | None, Meta(description="By default the caller's own.")] = None
    owner: Annotated[Name | None, Meta(description="For whom it is started: the caller, but for services.")] = None
    list_id: Annotated[Label | None, Meta(description="A list that it belongs to; lists exist by being named.")] = None
    assignee: Label | None = None
    metadata: Annotated[dict[str, Any] | None, Meta(description="Anything; kept as it is.")] = None
    trigger: Annotated[
        TriggerBody | None, Meta(description="When it runs, if not at once.", extra_json_schema=_ONE_OF_FOUR)
    ] = None
    run_at: Annotated[Time | None, Meta(description="Not before this time.")] = None
    priority: Annotated[Priority | None, Meta(description="Higher goes first.")] = None
    timeout: Annotated[Timeout | None, Meta(description="For each try: seconds, or text like `30m`.")] = None
    start_by: Annotated[Time | None, Meta(description="It fails when it could not start by then.")] = None
    depends_on: Annotated[Dependencies, Meta(description="Ids of tasks that must succeed first.")] = ()
    on_dependency_failure: Annotated[
        DependencyFailure, Meta(description="What it does when one of them fails: fail too, run all the same, stay.")
    ] = "fail"
    max_attempts: Attempts | None = None
    unique_key: Annotated[
        UniqueKey | None,
        Meta(description="Refused while an unfinished task of the same owner, tenant and type has it."),
    ] = None
    runner: Annotated[
        Runner | None, Meta(description="`process` for a process of its own, `external` when the client drives it.")
    ] = None
    state: Annotated[
        Literal["running"] | None,
        Meta(description="External tasks: to begin with; of a registered type it takes deliveries at once."),
    ] = None
    durable: Annotated[
        bool, Meta(description="False: cancelled if it has not begun when the server that took it is shut down.")
    ] = True
    callback: Annotated[
        CallbackUrl | None, Meta(description="A URL that is told of each of its ends by a signed POST of the record.")
    ] = None
    lease_seconds: (
        Annotated[Lease, Meta(description="External tasks: queued again when their client is silent for so long.")]
        | None
    ) = None


class StartLine(StartBody, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A task to start, as one line of many."""

    idempotency_key: Annotated[
        LineKey | None, Meta(description="As the header of a single start: the same key is the same task.")
    ] = None


class DeliveryBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is delivered to a standing task."""

    input: Annotated[
        dict[str, Any],
        Meta(description="Goes over the task's own; both together are checked against the type's schema."),
    ] = {}


class CountsBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How many items were dealt with; `done` includes those that failed or were skipped."""

    done: Whole = _ZERO
    total: Whole | None = None
    failed: Whole = _ZERO
    skipped: Whole = _ZERO


class FailureBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Why it failed."""

    code: Annotated[
        str, Meta(min_length=1, max_length=100, description="Stable, for programs.", extra_json_schema=NO_NUL)
    ]
    message: Annotated[Text, Meta(description="For people.")]


class UpdateBody(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What to change (RFC 7396): what is absent stays, null clears.

    Labels of any task; of an external one also how it stands. `state` blocked or queued holds and frees any that waits;
    cancelled cancels one that a worker runs, and queued resumes or retries it.
    """

    title: Text | None | UnsetType = UNSET
    description: Text | None | UnsetType = UNSET
    list_id: Text | None | UnsetType = UNSET
    assignee: Text | None | UnsetType = UNSET
    metadata: Annotated[
        dict[str, Any] | None | UnsetType, Meta(description="Merged into what is there, member by member.")
    ] = UNSET
    depends_on: Dependencies | UnsetType = UNSET
    blocked_reason: Text | None | UnsetType = UNSET
    state: State | UnsetType = UNSET
    progress: Annotated[float, Meta(ge=0, le=1)] | UnsetType = UNSET
    message: Text | UnsetType = UNSET
    counts: CountsBody | UnsetType = UNSET
    result: Annotated[Any, Meta(description="Any JSON; with `state` succeeded.")] = UNSET
    failure: Annotated[FailureBody | UnsetType, Meta(description="With `state` failed.")] = UNSET
    lease_seconds: Lease | None | UnsetType = UNSET


class ReadQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How to read a record."""

    include: Annotated[tuple[Part, ...], Meta(description="Parts that are otherwise left out.")] = ()
    wait: Annotated[Wait, Meta(description="Seconds to wait for a change, or the end, before answering.")] = 0
    version: (
        Annotated[Whole, Meta(description="With `wait`: the version seen last; the present one by default.")] | None
    ) = None


class FollowQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where to take up a stream."""

    last_event_id: (
        Annotated[Whole, Meta(description="The last event's id, for clients that can't set the header.")] | None
    ) = None


class LogQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which entries to read."""

    after: Annotated[Whole, Meta(description="Entries behind this sequence number.")] = _ZERO
    limit: LogPageSize = cast("LogPageSize", 100)
    wait: Annotated[Wait, Meta(description="Seconds to wait for an entry where there is none yet.")] = 0


class ListQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which tasks to list."""

    state: Annotated[tuple[State, ...], Meta(description="In one of these states.")] = ()
    tenant: str | None = None
    type: str | None = None
    owner: str | None = None
    list: Annotated[str | None, Meta(description="Their `list_id`.")] = None
    parent: Annotated[OtherId | None, Meta(description="The id of their parent.")] = None
    assignee: str | None = None
    after: Annotated[str | None, Meta(description="The `next` of the page before.")] = None
    limit: PageSize = cast("PageSize", 50)


class RetryQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How to retry."""

    revive: Annotated[bool, Meta(description="Whether tasks that failed because of it begin again too.")] = True


class DeleteQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How to delete."""

    cascade: Annotated[bool, Meta(description="Delete the tasks that depend on it too.")] = False
