import pytest
from starlette.requests import Request
from starlette.responses import Response

from milepost.access.principal import LOCAL
from milepost.errors import Forbidden
from milepost.http.dialect import Call, NoQuery, Operation
from milepost.http.errors import Misdirected, UnsupportedMediaType
from milepost.http.open_mode import OpenMode


async def handler(call: Call[NoQuery, None]) -> Response:
    return Response()


READ = Operation("GET", "/", handler)
ACT = Operation("POST", "/", handler)
GET_THAT_ACTS = Operation("GET", "/", handler, changes=True)
TAKES_TEXT = Operation("PUT", "/", handler, media_types=("text/plain", "application/octet-stream"))
OWN = "127.0.0.1:8006"


async def admit(operation: Operation, host: str | None = OWN, /, *allowed: str, **headers: str) -> None:
    raw = [(name.replace("_", "-").encode(), value.encode("latin-1")) for name, value in headers.items()]
    if host is not None:
        raw.append((b"host", host.encode()))
    request = Request({"type": "http", "method": operation.method, "headers": raw})
    assert await OpenMode(allowed)(request, operation, "any credentials") is LOCAL


@pytest.mark.parametrize(
    "host",
    [
        *("localhost", "localhost:8006", "LOCALHOST:1", "localhost.", "127.0.0.1", "127.0.0.1:8006"),
        *("127.8.9.1:80", "[::1]", "[::1]:8006"),
    ],
)
async def test_loopback_names_are_ours(host: str) -> None:
    await admit(READ, host)
    await admit(ACT, host)


@pytest.mark.parametrize(
    "host",
    [
        *("example.com", "example.com:8006", "localhost.example.com", "127.0.0.1.example.com", "0.0.0.0:8006"),
        *("192.168.1.7", "[::2]", "[fe80::1]:8006", "", ":8006", "2130706433", "evil.localhost", "127.1"),
    ],
)
async def test_other_hosts_are_not(host: str) -> None:
    with pytest.raises(Misdirected):
        await admit(READ, host)


async def test_a_request_without_host_is_refused() -> None:
    with pytest.raises(Misdirected):
        await admit(READ, None)


async def test_hosts_can_be_allowed() -> None:
    await admit(ACT, "tasks.example.com:443", "Tasks.Example.Com", origin="https://tasks.example.com:443")
    await admit(ACT, "anything", "*")
    with pytest.raises(Misdirected):
        await admit(READ, "other.example.com", "tasks.example.com")


@pytest.mark.parametrize("operation", [ACT, GET_THAT_ACTS])
@pytest.mark.parametrize(
    "origin",
    ["http://example.com", "null", "http://localhost:3000", "http://127.0.0.1:3000", "http://127.0.0.1", ""],
)
async def test_a_foreign_origin_changes_nothing(operation: Operation, origin: str) -> None:
    with pytest.raises(Forbidden):
        await admit(operation, origin=origin)


async def test_our_own_origin_may_change() -> None:
    await admit(ACT, origin=f"http://{OWN}", sec_fetch_site="same-origin")
    await admit(ACT, "LocalHost:8006", origin="http://localhost:8006")


@pytest.mark.parametrize("site", ["cross-site", "same-site"])
@pytest.mark.parametrize("operation", [READ, ACT, GET_THAT_ACTS])
async def test_another_site_gets_nothing(operation: Operation, site: str) -> None:
    with pytest.raises(Forbidden):
        await admit(operation, sec_fetch_site=site, sec_fetch_mode="no-cors")


async def test_a_link_may_lead_here_but_not_to_a_change() -> None:
    link = {"sec_fetch_site": "cross-site", "sec_fetch_mode": "navigate", "sec_fetch_dest": "document"}
    await admit(READ, **link)
    for operation in (GET_THAT_ACTS, ACT):
        with pytest.raises(Forbidden):
            await admit(operation, **link)


@pytest.mark.parametrize("place", ["iframe", "frame", "object", "embed", ""])
async def test_a_frame_of_another_site_shows_nothing(place: str) -> None:
    with pytest.raises(Forbidden):
        await admit(READ, sec_fetch_site="cross-site", sec_fetch_mode="navigate", sec_fetch_dest=place)


async def test_what_a_person_types_is_let_in() -> None:
    await admit(READ, sec_fetch_site="none", sec_fetch_mode="navigate")


@pytest.mark.parametrize(
    "content_type", ["application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "Text/Plain"]
)
async def test_a_form_changes_nothing(content_type: str) -> None:
    with pytest.raises(UnsupportedMediaType):
        await admit(ACT, content_type=content_type)
    await admit(READ, content_type=content_type)


async def test_an_operation_may_take_text() -> None:
    await admit(TAKES_TEXT, content_type="text/plain")
    with pytest.raises(UnsupportedMediaType):
        await admit(TAKES_TEXT, content_type="multipart/form-data")
