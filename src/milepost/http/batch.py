"""How do many starts, a line each, become as many outcomes?"""

import logging
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from typing import Any, NamedTuple, TypeVar

from milepost.errors import ServiceError, Unavailable
from milepost.http.dialect import Call
from milepost.http.errors import Internal, TooSlow
from milepost.http.lines import Line, Lines
from milepost.service import MANY, Created, Wish
from milepost.store.refusals import StoreBusy, StoreFull
from milepost.told import DISK_FULL, unavailable

_log = logging.getLogger(__name__)

B = TypeVar("B")


class Outcome(NamedTuple):
    """What became of a line, by its number."""

    line: int
    made: Created | ServiceError


async def start_lines(
    call: Call[Any, Lines[B]], read: Callable[[B], Wish], *, origin: str
) -> AsyncGenerator[list[Outcome], None]:
    """Start what the lines of a request ask for, and tell of each in their order, soon after it has arrived.

    What is told as made is durable. `read` says what a line wishes, and may raise ServiceError. When the server is
    about to stop before the end, no more comes in time, or the caller's key was revoked meanwhile, the last outcome is
    that of the first line which was not heeded: Unavailable, TooSlow, or what `Call.check` raises.
    """
    async with aclosing(call.body.bunches(MANY, call.stopping)) as bunches:
        async for lines in bunches:
            try:
                await call.check()
            except ServiceError as error:
                yield [Outcome(lines[0].number, error)]
                return
            yield await _start(call, [_wish(line, read) for line in lines], lines, origin)
    if not call.body.ended:
        stopping = Unavailable("The server is about to stop; nothing from here on was done.")
        yield [Outcome(call.body.number + 1, TooSlow() if call.body.is_too_slow else stopping)]


def _wish(line: Line[B], read: Callable[[B], Wish]) -> Wish | ServiceError:
    if isinstance(line.body, ServiceError):
        return line.body
    try:
        return read(line.body)
    except ServiceError as error:
        return error


async def _start(
    call: Call[Any, Any], wishes: Sequence[Wish | ServiceError], lines: Sequence[Line[B]], origin: str
) -> list[Outcome]:
    asked = [wish for wish in wishes if not isinstance(wish, ServiceError)]
    made: Sequence[Created | ServiceError]
    try:
        made = await call.service.start_many(call.principal, asked, origin=origin)
    except (StoreBusy, StoreFull) as error:
        if isinstance(error, StoreFull):
            _log.error("Lines %d to %d of a batch were refused: %s", lines[0].number, lines[-1].number, DISK_FULL)
        made = [unavailable(error)] * len(asked)
    except Exception:
        _log.exception("Lines %d to %d of a batch failed", lines[0].number, lines[-1].number)
        made = [Internal()] * len(asked)
    made_in_turn = iter(made)
    return [
        Outcome(line.number, wish if isinstance(wish, ServiceError) else next(made_in_turn))
        for line, wish in zip(lines, wishes, strict=True)
    ]
