"""What does a caller say to start a task, and what record does that make?"""

import hashlib
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import lru_cache
from typing import Any, Final, TypeAlias

import jsonschema_rs
import msgspec
from jsonschema_rs import ValidationErrorKind

from milepost import trigger as triggers
from milepost.access.principal import EVERY_TENANT
from milepost.errors import Fault, Invalid, pointer
from milepost.file_name import PATH_PATTERN
from milepost.store.protocol import TypeInfo
from milepost.task import TYPE_NAME, DeliveredFile, DependencyFailure, Runner, State, Task, parse_id
from milepost.times import DAY, EARLIEST, LATEST, LONGEST_DURATION, SECOND, format_duration
from milepost.trigger import Trigger
from milepost.webhook import NO_URL, is_url

MAX_TEXT: Final = 10_000
"""Longest title, description, reason or key, in characters."""
MAX_NAME: Final = 200
"""Longest name of a tenant or an owner, in characters."""
MAX_KEY: Final = 255
"""Longest Idempotency-Key, in characters."""
MAX_ATTEMPTS: Final = 1_000
MAX_PRIORITY: Final = 2**31 - 1
MAX_METADATA: Final = 1 << 20
"""Bytes of JSON that the metadata may have: they come along with every read of the record."""
MAX_DEPENDENCIES: Final = 1_000
FULLY_CHECKED: Final = 8 << 10
"""Bytes of an input in which every fault is found; of a larger one the first is told. A fault costs 12 µs to find."""
MAX_FAULTS: Final = 100
"""Faults that are told of one start, unknown arguments among them: an answer is not to be many times its question."""
MAX_DETAIL: Final = 300
"""Characters of what is said of one fault, which may quote the value."""

TOO_LARGE: Final = f"At most {MAX_METADATA} bytes of JSON."
NOT_BLOCKED: Final = "It says what blocks a task, which this one is not to be."
NO_REASON: Final = "It says why a task is blocked, which this one is not to be."
NUL: Final = "The character NUL can't be kept."
"""Not every store takes it in a text. Within free JSON it is written as an escape, and may be there."""


class Start(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A wish to start a task, as every dialect hands it on. Times in µs; None where the caller said nothing.

    The last group is for dialects whose clients drive their tasks themselves.
    """

    type: str
    input: Mapping[str, Any] = {}
    tenant: str | None = None
    owner: str | None = None
    title: str | None = None
    description: str | None = None
    list_id: str | None = None
    assignee: str | None = None
    creator: str | None = None
    metadata: dict[str, Any] | None = None
    debug: str | None = None
    trigger: Trigger | None = None
    run_at: int | None = None
    priority: int | None = None
    timeout: int | None = None
    start_by: int | None = None
    depends_on: tuple[str, ...] = ()
    on_dependency_failure: DependencyFailure = "fail"
    max_attempts: int | None = None
    unique_key: str | None = None
    runner: Runner | None = None
    parent: str | None = None
    keep_result: int | None = None
    keep_record: int | None = None
    durable: bool = True
    """False: cancelled if it has not begun when the service that took it is closed."""
    callback: str | None = None
    """A URL that is told of each of its ends."""

    state: State | None = None
    held: bool = False
    blocked_reason: str | None = None
    blocked_by: tuple[str, ...] = ()
    """What else it waits for, for people: its own client frees it."""
    lease_seconds: int | None = None

    files: tuple[DeliveredFile, ...] = ()
    """Stored already, and the task's from then on."""

    def fingerprint(self) -> bytes:
        """A hash that is the same for the same request, whatever the order of its fields, and those to come."""
        return hashlib.sha256(msgspec.json.encode(self, order="deterministic")).digest()


class Retention(msgspec.Struct, frozen=True):
    """How long a finished task's result and record are kept where nobody says otherwise, and Idempotency-Keys (µs)."""

    result: int = 7 * DAY
    record: int = 30 * DAY
    idempotency_key: int = DAY


DEFAULT_RETENTION: Final = Retention()


def draft(
    start: Start,
    info: TypeInfo | None,
    retention: Retention,
    *,
    now: int,
    id: str,
    tenant: str,
    owner: str,
    origin: str,
    roles: tuple[str, ...] = ("user",),
    secret: Collection[str] = (),
) -> Task:
    """The record that a start makes, not yet begun. Of the arguments that are `secret` no fault shows the value.

    `info` is None for a type that nobody registered, which only external tasks may have. Raises `Invalid`, naming
    every field that is wrong.
    """
    faults = [*_type_faults(start, info, secret), *_plain_faults(start, now)]
    dependencies = tuple(parse_id(text) or "" for text in start.depends_on)
    faults += [Fault("Not a task id.", f"/depends_on/{i}") for i, d in enumerate(dependencies) if not d]
    blockers = tuple(parse_id(text) or "" for text in start.blocked_by)
    faults += [Fault("Not a task id.", f"/blocked_by/{i}") for i, b in enumerate(blockers) if not b]
    if faults:
        raise Invalid(*faults[:MAX_FAULTS])
    info = info or TypeInfo(start.type, "external", {})
    trigger, run_at = start.trigger, start.run_at
    if trigger is not None:
        try:
            trigger, run_at = triggers.first(trigger, now=now, run_at=run_at)
        except ValueError as error:
            why = str(error).removeprefix("run_at: ")
            raise Invalid(Fault(f"{why[0].upper()}{why[1:]}.", "/run_at")) from error
    return Task(
        id=id,
        tenant=tenant,
        owner=owner,
        origin=origin,
        roles=roles,
        type=start.type,
        created_at=now,
        updated_at=now,
        parent=None if start.parent is None else parse_id(start.parent),
        runner=start.runner or info.runner,
        title=start.title,
        description=start.description,
        list_id=start.list_id,
        assignee=start.assignee,
        creator=start.creator,
        metadata=start.metadata,
        debug=start.debug,
        trigger=trigger,
        run_at=run_at,
        priority=_said(start.priority, info.priority),
        timeout=_said(start.timeout, info.timeout),
        start_by=start.start_by,
        max_attempts=_said(start.max_attempts, info.max_attempts),
        unique_key=start.unique_key,
        depends_on=tuple(dict.fromkeys(dependencies)),
        on_dependency_failure=start.on_dependency_failure,
        blocked_by=tuple(dict.fromkeys(blockers)),
        blocked_reason=start.blocked_reason,
        held=start.held,
        lease_seconds=start.lease_seconds,
        keep_result=_said(start.keep_result, info.keep_result, retention.result),
        keep_record=_said(start.keep_record, info.keep_record, retention.record),
        callback=start.callback,
    )


def _said(*values: Any) -> Any:
    """The first of these that says anything."""
    for value in values:
        if value is not None:
            return value
    return None


def _type_faults(start: Start, info: TypeInfo | None, secret: Collection[str]) -> list[Fault]:
    if info is not None:
        # What is delivered to a standing task brings what its own input lacks.
        faults = _input_faults(start.input, info, secret, may_lack=start.runner == "external")
        if start.runner not in (None, "process", "external", info.runner):
            faults.append(Fault(f"Tasks of this type run as {info.runner}, process or external.", "/runner"))
        return faults
    if start.runner == "external" and TYPE_NAME.fullmatch(start.type):
        return []
    return [Fault(f"There is no task type {start.type!r:.80} here.", "/type")]


def _input_faults(value: Mapping[str, Any], info: TypeInfo, secret: Collection[str], *, may_lack: bool) -> list[Fault]:
    schema = info.schema | {"required": []} if may_lack else info.schema
    validator = _validator(msgspec.json.encode(schema))
    try:
        validator.validate(value)
    except jsonschema_rs.ValidationError as error:
        is_small = len(msgspec.json.encode(value)) <= FULLY_CHECKED
        errors = validator.iter_errors(value) if is_small else [error]
        return [fault for error in errors for fault in _told(error, secret)]
    return []


@lru_cache(maxsize=1024)
def _validator(schema: bytes) -> Any:
    return jsonschema_rs.validator_for(msgspec.json.decode(schema), validate_formats=True)


def _told(error: Any, secret: Collection[str]) -> list[Fault]:
    """What JSON Schema found, each argument that is missing or unknown named by its own place."""
    path = ["input", *error.instance_path]
    match error.kind:
        case ValidationErrorKind.Required():
            return [Fault("This is required.", pointer([*path, error.kind.property]))]
        case ValidationErrorKind.AdditionalProperties():
            unknown = error.kind.unexpected[:MAX_FAULTS]
            return [Fault("There is no such argument here.", pointer([*path, name])) for name in unknown]
        case ValidationErrorKind.Pattern() if error.kind.pattern == PATH_PATTERN:
            return [Fault("A path beneath the files root, without `..`, empty parts and NUL.", pointer(path))]
    if secret and (len(path) == 1 or path[1] in secret):
        return [Fault("It does not fit the schema; what it is does not show, as it is secret.", pointer(path[:2]))]
    message = str(error.message)
    cut = message if len(message) <= MAX_DETAIL else message[:MAX_DETAIL] + " …"
    return [Fault(cut[0].upper() + cut[1:] + ("" if cut.endswith((".", "…")) else "."), pointer(path))]


def _plain_faults(start: Start, now: int) -> list[Fault]:
    """What is wrong with the fields that need nothing but themselves to be judged."""
    return [
        Fault(detail, f"/{field}")
        for field, rules in _RULES.items()
        if (value := getattr(start, field)) is not None
        for is_wrong, detail in rules
        if is_wrong(value, start, now)
    ]


def is_too_large(metadata: dict[str, Any] | None) -> bool:
    """Whether this is more than a record may carry along. Raises TypeError for what JSON can't say."""
    return bool(metadata) and len(msgspec.json.encode(metadata)) > MAX_METADATA


def _waits(start: Start) -> bool:
    """Whether it is to be blocked at first, or may be."""
    return start.held or start.state is State.BLOCKED or bool(start.depends_on)


_Rule: TypeAlias = tuple[Callable[[Any, Start, int], bool], str]
"""What is wrong with a value that was given, within a start that is made now (µs); and what is said of that."""

_TOO_LONG: Final[_Rule] = (lambda text, *_: len(text) > MAX_TEXT, f"At most {MAX_TEXT} characters.")
_NO_NAME: Final[_Rule] = (lambda name, *_: not 0 < len(name) <= MAX_NAME, f"From 1 to {MAX_NAME} characters.")
_WITH_NUL: Final[_Rule] = (lambda text, *_: "\x00" in text, NUL)
_TOO_MANY: Final[_Rule] = (lambda ids, *_: len(ids) > MAX_DEPENDENCIES, f"At most {MAX_DEPENDENCIES} tasks.")
_EMPTY: Final[_Rule] = (lambda text, *_: text == "", "Must not be empty.")
_NEGATIVE: Final[_Rule] = (lambda number, *_: number < 0, "Must not be negative.")

_TOO_LASTING: Final[_Rule] = (lambda span, *_: span > LONGEST_DURATION, f"At most {format_duration(LONGEST_DURATION)}.")
_NO_TIME: Final[_Rule] = (lambda time, *_: not EARLIEST <= time <= LATEST, "Of the years 1 to 9999.")
_NO_TENANT: Final = f"Printable characters, and not {EVERY_TENANT!r}, which stands for all of them."
_FOR_CLIENTS: Final = "For tasks with runner external only: where any other stands, the engine says."

_RULES: Final[Mapping[str, Sequence[_Rule]]] = {
    **dict.fromkeys(("title", "description"), (_TOO_LONG, _WITH_NUL)),
    "unique_key": (_TOO_LONG, _WITH_NUL, _EMPTY),
    **dict.fromkeys(("list_id", "assignee", "creator", "debug"), (_TOO_LONG, _WITH_NUL)),
    "blocked_reason": (_TOO_LONG, _WITH_NUL, (lambda _, start, __: not _waits(start), NO_REASON)),
    "tenant": (_NO_NAME, (lambda name, *_: name == EVERY_TENANT or not name.isprintable(), _NO_TENANT)),
    "owner": (_NO_NAME, _WITH_NUL),
    "parent": [(lambda said, *_: parse_id(said) is None, "Not a task id.")],
    "callback": [(lambda url, *_: not is_url(url), NO_URL)],
    "priority": [(lambda number, *_: abs(number) > MAX_PRIORITY, f"At most {MAX_PRIORITY} either way.")],
    "run_at": (_NO_TIME,),
    "timeout": (_TOO_LASTING, (lambda timeout, *_: timeout <= 0, "Must be more than 0.")),
    **dict.fromkeys(("keep_result", "keep_record"), (_TOO_LASTING, _NEGATIVE)),
    "start_by": (_NO_TIME, (lambda start_by, _, now: start_by <= now, "Must lie ahead.")),
    "max_attempts": [(lambda number, *_: not 1 <= number <= MAX_ATTEMPTS, f"From 1 to {MAX_ATTEMPTS}.")],
    "metadata": [(lambda metadata, *_: is_too_large(metadata), TOO_LARGE)],
    "depends_on": (_TOO_MANY,),
    "blocked_by": (
        _TOO_MANY,
        (lambda ids, start, _: bool(ids) and not (start.held or start.state is State.BLOCKED), NOT_BLOCKED),
    ),
    "state": [(lambda _, start, __: start.runner != "external", _FOR_CLIENTS)],
    "lease_seconds": [
        (
            lambda seconds, start, _: start.runner != "external" or not 0 < seconds <= LONGEST_DURATION // SECOND,
            "A positive number, for tasks with runner external only.",
        )
    ],
}
