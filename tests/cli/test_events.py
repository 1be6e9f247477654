from collections.abc import Generator
from itertools import count

import pytest

from milepost.cli.events import LONGEST_PAUSE, Event, follow
from milepost.cli.exits import CommandError, Exit
from milepost.cli.records import LogEntry, Record
from milepost.cli.remote import Remote
from tests.cli.processes import Server
from tests.cli.proxy import Proxy
from tests.cli.test_remote import free_port


def seqs(events: list[Event]) -> list[int]:
    return [event.news.seq for event in events if isinstance(event.news, LogEntry)]


def versions(events: list[Event]) -> list[int]:
    return [event.news.version for event in events if isinstance(event.news, Record)]


def finished(server: Server) -> str:
    task_id = server.start("count", to=60, by=2)
    server.wait(task_id)
    return task_id


def test_a_finished_task_is_told_from_the_beginning(server: Server) -> None:
    task_id = finished(server)
    events = list(follow(server.remote, task_id, since_version=0))
    last = events[-1].news
    assert isinstance(last, Record)
    assert last.state == "succeeded"
    assert seqs(events) == [entry["seq"] for entry in server.entries(task_id)]
    assert {event.name for event in events} == {"log", "task"}


def test_what_was_seen_is_not_told_again(server: Server) -> None:
    task_id = finished(server)
    version = server.get(task_id)["version"]
    assert list(follow(server.remote, task_id, since_version=version)) == []
    events = list(follow(server.remote, task_id, since_version=0, since_seq=20))
    assert seqs(events)[0] == 21


def test_p8_a_stream_that_breaks_is_taken_up_without_loss_or_doubles(server: Server) -> None:
    task_id = finished(server)
    broken: list[None] = []
    with Proxy(server.port, cuts=tuple(range(150, 4000, 301))) as proxy, Remote(proxy.url) as remote:
        events = list(
            follow(
                remote,
                task_id,
                since_version=0,
                on_broken=lambda: broken.append(None),
                sleep=lambda _: None,
            )
        )
        assert proxy.connections > 10
    assert seqs(events) == [entry["seq"] for entry in server.entries(task_id)]
    assert versions(events) == sorted(set(versions(events)))
    assert len(broken) == proxy.connections - 1


def test_patience_ends() -> None:
    pauses: list[float] = []
    clock = count(0, 10)
    with Remote(f"http://127.0.0.1:{free_port()}") as remote, pytest.raises(CommandError) as caught:
        list(follow(remote, "x", since_version=0, sleep=pauses.append, clock=lambda: float(next(clock))))
    assert caught.value.code is Exit.UNREACHABLE
    assert pauses == [0.25, 0.5, 1, 2, 4, LONGEST_PAUSE]


def test_a_task_that_is_deleted_meanwhile(server: Server) -> None:
    task_id = finished(server)
    events = follow(server.remote, task_id, since_version=0)
    assert isinstance(events, Generator)
    next(events)
    server.remote.request("DELETE", f"/v1/tasks/{task_id}")
    with pytest.raises(CommandError) as caught:
        list(follow(server.remote, task_id, since_version=0))
    assert caught.value.code is Exit.NOT_FOUND
    events.close()
