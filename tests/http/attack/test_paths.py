"""However a path is written, it leads to the operation that it names, or nowhere; and everywhere the same rights count.

Every operation of every dialect is asked for in ways by which proxies and servers have been brought to see two paths in
one. It is asked with the key of an admin, who may do all of it in one tenant and to a task there, and without any.
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Final, NamedTuple
from urllib.parse import quote

import pytest
import pytest_asyncio
from starlette.applications import Starlette
from starlette.routing import Mount

from milepost.access.principal import LOCAL
from milepost.http.dialect import Operation
from milepost.http.dialects.known import dialects
from milepost.http.forwarded import Forwarding
from milepost.start import Start
from milepost.task import Task
from tests.http.conftest import http_app, served
from tests.http.dialects.addresses import TENANT

from .conftest import AFTER, HOST, Answer, Attacked, exchange, port_of, serving

pytestmark = pytest.mark.asyncio(loop_scope="module")


def by_segment(change: Callable[[str], str]) -> Callable[[str], Iterator[str]]:
    """Paths in each of which one segment is changed."""

    def changed(path: str) -> Iterator[str]:
        segments = path.split("/")[1:]
        for index, segment in enumerate(segments):
            yield "/" + "/".join([*segments[:index], change(segment), *segments[index + 1 :]])

    return changed


TRICKS: Final[Mapping[str, Callable[[str], Iterator[str]]]] = {
    "an encoded slash before": by_segment(lambda segment: f"%2F{segment}"),
    "an encoded slash after": by_segment(lambda segment: f"{segment}%2f"),
    "a slash that is encoded twice": by_segment(lambda segment: f"%252F{segment}"),
    "encoded dots upwards": by_segment(lambda segment: f"x/%2e%2e/{segment}"),
    "dots upwards": by_segment(lambda segment: f"x/../{segment}"),
    "dots and an encoded slash": by_segment(lambda segment: f"x%2F..%2F{segment}"),
    "dots with a parameter": by_segment(lambda segment: f"x/..;/{segment}"),
    "a dot": by_segment(lambda segment: f"./{segment}"),
    "an encoded dot": by_segment(lambda segment: f"%2E/{segment}"),
    "two slashes": by_segment(lambda segment: f"/{segment}"),
    "a slash at the end": lambda path: iter([f"{path}/"]),
    "a dot at the end": lambda path: iter([f"{path}/.", f"{path}/%2e", f"{path}/..", f"{path}."]),
    "a suffix": lambda path: iter([f"{path}.json", f"{path}/.json", f"{path}%20", f"{path}+", f"{path}%09"]),
    "a parameter": by_segment(lambda segment: f"{segment};a=b"),
    "an encoded parameter": by_segment(lambda segment: f"{segment}%3Ba"),
    "a backslash": by_segment(lambda segment: f"x\\..\\{segment}"),
    "an encoded backslash": by_segment(lambda segment: f"%5c{segment}"),
    "a long slash": by_segment(lambda segment: f"x%c0%af{segment}"),
    "long dots": by_segment(lambda segment: f"x/%c0%ae%c0%ae/{segment}"),
    "a full-width letter": by_segment(lambda segment: f"%EF%BC%8F{segment}"),
    "a half of a pair": by_segment(lambda segment: f"{segment}%ED%A0%80"),
    "an encoded NUL": by_segment(lambda segment: f"{segment}%00"),
    "a NUL and more": by_segment(lambda segment: f"{segment}%00.html"),
    "an encoded end of line": by_segment(lambda segment: f"{segment}%0d%0aX:%20y"),
    "an encoded question mark": by_segment(lambda segment: f"{segment}%3Fx"),
    "an encoded fragment": by_segment(lambda segment: f"{segment}%23x"),
    "half of an escape": by_segment(lambda segment: f"{segment}%"),
    "no escape": by_segment(lambda segment: f"{segment}%zz"),
    "in capitals": lambda path: iter([path.upper()] if path.upper() != path else []),
}


LIST: Final = "some-list"


class Asked(NamedTuple):
    """An operation, at a path that names a tenant of the admin's and a task in it."""

    operation: Operation
    path: str


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def task(attacked: Attacked) -> Task:
    """What may be found."""
    start = Start(type="export", tenant=TENANT)
    task = (await attacked.service.start(LOCAL, start, origin="native")).task
    return await attacked.service.cancel(LOCAL, task.id)


@pytest.fixture
def asked(task: Task) -> Sequence[Asked]:
    """All operations."""
    fills = {
        "organisation": TENANT,
        "projectId": TENANT,
        "dialect": "native",
        "document": "native.json",
        "taskListId": LIST,
    }
    found = []
    for dialect in dialects():
        named = fills | ({"id": str(task.number)} if dialect.name == "services" else {})
        for operation in dialect.operations():
            path = re.sub(r"\{(\w+)\}", lambda match: named.get(match[1], task.id), operation.path)  # noqa: B023
            found.append(Asked(operation, path))
    return found


def request(method: str, path: str, key: str | None) -> bytes:
    head = f"{method} {path} HTTP/1.1\r\n" + (f"Authorization: Bearer {key}\r\n" if key else "")
    return head.encode("latin-1") + HOST + b"Content-Length: 0\r\n\r\n"


async def answers(port: int, requests: Sequence[bytes]) -> list[Answer]:
    """What is answered to each of these."""
    found = []
    for first in range(0, len(requests), 500):
        *some, after = await exchange(port, b"".join(requests[first : first + 500]) + AFTER)
        assert after.status == 307
        found += some
    assert len(found) == len(requests)
    return found


LEADS_NOWHERE: Final = {400, 401, 403, 404, 405, 415, 422}


@pytest.mark.parametrize("trick", TRICKS)
async def test_no_trick_leads_to_an_operation(
    trick: str, attacked: Attacked, task: Task, asked: Sequence[Asked], port: int
) -> None:
    calls = [(one, path) for one in asked for path in TRICKS[trick](one.path)]
    assert len(calls) > 30
    key = attacked.keys.admin
    told = await answers(port, [request(one.operation.method, path, key) for one, path in calls])
    elsewhere = [
        request(one.operation.method, one.path.replace(TENANT, "nobodys") if TENANT in one.path else "/nowhere", key)
        for one, _ in calls
    ]
    for (one, path), answer, other in zip(calls, told, await answers(port, elsewhere), strict=True):
        # A tenant, and a list in it, may be called anything: one that has nothing for the caller is empty.
        is_another = any(f"/{name}/" in one.path and f"/{name}/" not in path for name in (TENANT, LIST))
        is_elsewhere = is_another and answer.status == other.status
        assert answer.status in LEADS_NOWHERE or is_elsewhere, (one.operation.method, path)
        assert task.id.encode() not in answer.body or task.id in path, path
        assert "location" not in answer.headers
    told = await answers(port, [request(one.operation.method, path, None) for one, path in calls])
    for (one, path), answer in zip(calls, told, strict=True):
        assert answer.status in (400, 401, 404, 405), (one.operation.method, path)


async def test_a_path_that_is_encoded_without_need_is_the_same_path(
    attacked: Attacked, asked: Sequence[Asked], port: int
) -> None:
    """As RFC 3986 has it: a proxy that closes paths has to decode them too."""
    plain = [one for one in asked if one.operation.method == "GET" and not one.path.endswith("/events")]
    encoded = [
        "/" + "/".join("".join(f"%{ord(c):02x}" for c in part) for part in one.path[1:].split("/")) for one in plain
    ]
    seen = set()
    for key in (None, attacked.keys.admin):
        expected = await answers(port, [request("GET", one.path, key) for one in plain])
        found = await answers(port, [request("GET", path, key) for path in encoded])
        assert [answer.status for answer in found] == [answer.status for answer in expected]
        seen |= {answer.status for answer in found}
    assert seen >= {200, 401}


@pytest.mark.parametrize("trick", ["dots upwards", "encoded dots upwards", "two slashes", "a dot at the end"])
async def test_nor_beneath_a_prefix(trick: str, attacked: Attacked, asked: Sequence[Asked]) -> None:
    """Mounted in another application, and behind a proxy that leaves its path or takes it off."""
    service, key = attacked.service, attacked.keys.admin
    mounted = http_app(service, *dialects())
    behind = http_app(service, *dialects(), forwarding=Forwarding(public_url="https://example.com/in/here"))
    paths = [path for one in asked for path in TRICKS[trick](one.path)]
    climbing = ["/in/here/../../v1/keys", "/in/x/../here/v1/keys", "/in%2Fhere/v1/keys", "//in/here/v1/keys"]
    async with (
        served(Starlette(routes=[Mount("/in/here", mounted)]), mounted.stop, http="httptools") as inside,
        serving(behind) as proxied,
    ):
        for url in (inside, proxied):
            assert [answer.status for answer in await exchange(port_of(url), *well(key))] == [200, 307]
            tried = [f"/in/here{path}" for path in paths] + climbing
            requests = [request("GET", path, key) for path in tried]
            for path, answer in zip(tried, await answers_of(url, requests), strict=True):
                assert answer.status in LEADS_NOWHERE, path


def well(key: str) -> Sequence[bytes]:
    return [request("GET", "/in/here/v1/keys", key), AFTER.replace(b"GET /", b"GET /in/here/")]


async def answers_of(url: str, requests: Sequence[bytes]) -> list[Answer]:
    """As `answers`, beneath the prefix."""
    after = AFTER.replace(b"GET /", b"GET /in/here/")
    found = []
    for first in range(0, len(requests), 500):
        *some, _ = await exchange(port_of(url), b"".join(requests[first : first + 500]) + after)
        found += some
    return found


async def test_what_stands_for_a_task_is_taken_as_it_is(attacked: Attacked, port: int) -> None:
    """An id that would be a path, or a pattern, finds nothing."""
    ids = ["..", ".", "*", "%", "_", "' OR 1=1 --", "\x00", "a/b", "../keys", "{id}", "\ufeff", "x" * 60_000]
    requests = [request("GET", f"/v1/tasks/{quote(one, safe='')}", attacked.keys.service) for one in ids]
    assert {answer.status for answer in await answers(port, requests)} == {404}
