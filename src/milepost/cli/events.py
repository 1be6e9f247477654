"""How is a task followed over connections that break?"""

import time
from collections.abc import Callable, Iterator
from http import HTTPStatus
from typing import Final, NamedTuple

import httpx2
import msgspec

from milepost.cli.records import LogEntry, Record
from milepost.cli.remote import Remote, task_path

PATIENCE: Final = 60.0
"""Seconds without any answer after which following is given up."""

FIRST_PAUSE: Final = 0.25
LONGEST_PAUSE: Final = 5.0
"""Seconds between two connections; doubled from one that failed to the next."""


class Event(NamedTuple):
    """A record or log entry as it was sent, JSON on one line, and what it says; `name` is `task` or `log`."""

    name: str
    data: str
    news: Record | LogEntry


def follow(
    remote: Remote,
    task_id: str,
    *,
    since_version: int,
    since_seq: int = 0,
    patience: float = PATIENCE,
    on_broken: Callable[[], None] = lambda: None,
    sleep: Callable[[float], None] = time.sleep,
    clock: Callable[[], float] = time.monotonic,
) -> Iterator[Event]:
    """What happens to a task after a version and a log entry that were seen, until nothing more will.

    Each log entry comes once, and before the record that it belongs to. A broken connection is made anew, for up to
    `patience` seconds (`on_broken` is called each time); then CommandError is raised, as for a task that is gone.
    """
    version, seq = since_version, since_seq
    pause, heard = FIRST_PAUSE, clock()
    while True:
        error: httpx2.TransportError | None = None
        try:
            with remote.stream(task_path(task_id, "events"), {"last-event-id": str(version)}) as response:
                if response.status_code == HTTPStatus.NO_CONTENT:
                    return
                for event in _read(response):
                    pause, heard = FIRST_PAUSE, clock()
                    if isinstance(event.news, Record):
                        version = event.news.version
                        yield event
                        if event.news.is_over:
                            return
                    elif event.news.seq > seq:
                        seq = event.news.seq
                        yield event
        except httpx2.TransportError as broken:
            error = broken
        if error is not None and clock() - heard > patience:
            raise remote.unreachable(error) from error
        on_broken()
        sleep(pause)
        pause = min(2 * pause, LONGEST_PAUSE)


def _read(response: httpx2.Response) -> Iterator[Event]:
    for event in httpx2.EventSource(response, max_event_size=None):
        if event.event in _SHAPES:
            yield Event(event.event, event.data, msgspec.json.decode(event.data, type=_SHAPES[event.event]))


_SHAPES: Final[dict[str, type[Record] | type[LogEntry]]] = {"task": Record, "log": LogEntry}
