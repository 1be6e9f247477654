"""What can a caller be refused, and why? Without a word of HTTP: each dialect says it in its own way.

`code` is stable and for programs, the text for people. None of them says more than the caller may know.
"""

from collections.abc import Iterable
from typing import Any, ClassVar

import msgspec


class Fault(msgspec.Struct, frozen=True, omit_defaults=True):
    """One thing wrong with what was sent: where (an RFC 6901 pointer into the body, or a parameter's name) and what."""

    detail: str
    pointer: str | None = None
    parameter: str | None = None


def pointer(steps: Iterable[str | int]) -> str:
    """The RFC 6901 pointer to where these names and indices lead."""
    return "".join("/" + str(step).replace("~", "~0").replace("/", "~1") for step in steps)


class ServiceError(Exception):
    """A caller's request that is not carried out. `facts` are details for programs."""

    code: ClassVar[str]
    title: ClassVar[str]

    def __init__(self, detail: str, **facts: Any) -> None:
        self.detail = detail
        self.facts = facts
        super().__init__(detail)


class Invalid(ServiceError):
    """What was sent is well-formed but wrong."""

    code = "invalid-request"
    title = "The request is not valid"

    def __init__(self, *faults: Fault) -> None:
        self.faults = faults
        super().__init__(" ".join(f"{_place(fault)}{fault.detail}" for fault in faults))


def _place(fault: Fault) -> str:
    place = fault.pointer if fault.pointer is not None else fault.parameter
    return f"{place}: " if place else ""


class Malformed(ServiceError):
    """What was sent can't be read at all."""

    code = "malformed-request"
    title = "The request can't be read"


class TooLarge(ServiceError):
    """More was sent than is taken."""

    code = "too-large"
    title = "The request is too large"


class TooMany(ServiceError):
    """The caller asks too often, or for too much at once; after `retry_after` seconds it may try again."""

    code = "too-many-requests"
    title = "Too much at once"

    def __init__(self, detail: str, *, retry_after: int) -> None:
        self.retry_after = retry_after
        super().__init__(detail)


class TooManyWrongKeys(TooMany):
    """From where the caller asks, too many wrong keys were shown, and another one was. A right one is taken still."""

    code = "too-many-wrong-keys"
    title = "Too many wrong keys"


class Unauthenticated(ServiceError):
    """Nobody that is known asks."""

    code = "unauthenticated"
    title = "Valid credentials are needed"


class Forbidden(ServiceError):
    """The caller may see what it asks about, but not do this with it."""

    code = "forbidden"
    title = "You may not do this"


class NotFound(ServiceError):
    """There is no such thing, or none that the caller may see."""

    code = "not-found"
    title = "Not found"


class Gone(ServiceError):
    """It was there and is past its retention, or deleted."""

    code = "gone"
    title = "No longer there"


class Conflict(ServiceError):
    """The record's state does not allow it now."""

    code = "conflict"
    title = "The task's state does not allow this"


class NotReady(Conflict):
    """There is no result yet; asking again later makes sense."""

    code = "not-ready"
    title = "There is no result yet"


class UniqueKeyConflict(Conflict):
    """An unfinished task of the caller holds the unique key."""

    code = "unique-key-taken"
    title = "An unfinished task has this unique key"


class DependentsConflict(Conflict):
    """Others depend on the task."""

    code = "has-dependents"
    title = "Other tasks depend on this one"


class ParentLost(Conflict):
    """The task that starts another does not run any more, as far as its worker knows."""

    code = "parent-lost"
    title = "The parent does not run any more"


class ParentStopping(Conflict):
    """The task that starts another is to be cancelled."""

    code = "parent-stopping"
    title = "The parent is to be cancelled"


class TooManyKeys(Conflict):
    """A tenant has as many valid keys as it may. No time changes that, but the end of one does."""

    code = "too-many-keys"
    title = "The tenant has as many keys as it may"


class KeyConflict(ServiceError):
    """The Idempotency-Key was used for another request."""

    code = "idempotency-key-reused"
    title = "The Idempotency-Key stands for another request"


class PreconditionFailed(ServiceError):
    """The record has changed since the caller read it."""

    code = "version-mismatch"
    title = "The task has changed since"


class NotOpen(ServiceError, RuntimeError):
    """The application's lifespan does not run: whoever wrote it has to say so, asking again changes nothing."""

    code = "not-open"
    title = "Milepost is not open"


class Unavailable(ServiceError):
    """It can't be done right now; asking again is safe."""

    code = "unavailable"
    title = "Try again later"
