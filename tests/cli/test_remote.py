import socket
import threading
from typing import Any

import httpx2
import msgspec
import pytest

from milepost.cli.exits import CommandError, Exit
from milepost.cli.main import run
from milepost.cli.remote import LONGEST_PAUSE, PAUSES, Remote, task_path
from tests.cli.foreign import Canned, serving
from tests.cli.processes import Server
from tests.cli.proxy import Proxy

BUSY = Canned(503, b"<h1>later</h1>")
FINE = Canned(200, b'{"fine": true}', "application/json")


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def refused(remote: Remote, method: str = "GET", path: str = "/v1/types", **options: Any) -> CommandError:
    with remote, pytest.raises(CommandError) as caught:
        remote.request(method, path, **options)
    return caught.value


def test_nobody_there() -> None:
    pauses: list[float] = []
    port = free_port()
    error = refused(Remote(f"http://127.0.0.1:{port}/", sleep=pauses.append))
    assert error.code is Exit.UNREACHABLE
    assert str(error) == (
        f"No Milepost server answers at http://127.0.0.1:{port} (Connection refused). "
        "Start one with `milepost serve FILE`, or say where it is with MILEPOST_URL."
    )
    assert pauses == list(PAUSES)


def test_what_can_be_repeated_is(server: Server) -> None:
    for method, headers in (("GET", {}), ("POST", {"idempotency-key": "again"})):
        with Proxy(server.port, refuse=2) as proxy:
            body = {"type": "echo"} if method == "POST" else None
            path = "/v1/tasks" if method == "POST" else "/v1/types"
            with Remote(proxy.url, sleep=lambda _: None) as remote:
                assert remote.request(method, path, body=body, headers=headers).is_success
            assert proxy.connections == 3


def test_what_might_happen_twice_is_not_repeated(server: Server) -> None:
    with Proxy(server.port, refuse=9) as proxy:
        error = refused(Remote(proxy.url, sleep=lambda _: None), "POST", "/v1/tasks", body={"type": "echo"})
        assert error.code is Exit.UNREACHABLE
        assert proxy.connections == 1


def test_a_change_is_sent_again_where_nobody_took_it() -> None:
    pauses: list[float] = []
    refused(Remote(f"http://127.0.0.1:{free_port()}", sleep=pauses.append), "POST", "/v1/tasks", body={})
    assert pauses == list(PAUSES)


def test_who_is_busy_is_asked_again() -> None:
    with serving(BUSY, Canned(502), FINE) as server, Remote(server.url, sleep=lambda _: None) as remote:
        assert remote.get("/v1/x", dict[str, bool]) == {"fine": True}
    with serving(BUSY) as server:
        error = refused(Remote(server.url, sleep=lambda _: None))
        assert error.code is Exit.UNREACHABLE
        assert len(server.requests) == len(PAUSES) + 1


def test_who_asks_to_be_left_alone_is_for_so_long() -> None:
    pauses: list[float] = []
    answers = [Canned(429, retry_after=said) for said in ("5", "3600", "soon")]
    with serving(*answers, FINE) as server, Remote(server.url, sleep=pauses.append) as remote:
        assert remote.get("/v1/x", dict[str, bool]) == {"fine": True}
    assert pauses == [5.0, LONGEST_PAUSE, PAUSES[2]]


@pytest.mark.parametrize(
    ("status", "code"),
    [
        (301, Exit.USAGE),
        (400, Exit.USAGE),
        (403, Exit.NOT_FOUND),
        (404, Exit.NOT_FOUND),
        (409, Exit.FAILED),
        (410, Exit.NOT_FOUND),
        (412, Exit.FAILED),
        (429, Exit.UNREACHABLE),
        (422, Exit.USAGE),
        (500, Exit.UNREACHABLE),
    ],
)
def test_the_status_decides_the_exit_code(status: int, code: Exit) -> None:
    problem = Canned(status, b'{"title": "Wrong", "detail": "It is\\n\\u001b[2Jwrong."}', "application/problem+json")
    with serving(problem) as server:
        error = refused(Remote(server.url, sleep=lambda _: None))
    assert (error.code, str(error)) == (code, r"It is \x1b[2Jwrong.")


def test_a_problem_without_detail_is_told_by_its_title() -> None:
    with serving(Canned(404, b'{"title": "Not found"}')) as server:
        assert str(refused(Remote(server.url))) == "Not found"


def test_other_servers_are_noticed(capsys: pytest.CaptureFixture[str]) -> None:
    with serving(Canned(404, b"<h1>no</h1>")) as server:
        error = refused(Remote(server.url))
        assert str(error) == f"{server.url} answered 404 Not Found, and not as Milepost does. Is MILEPOST_URL right?"
    with serving(Canned(200, b'{"tasks": 5}', "application/json")) as server:
        for words in (["get", "x"], ["list"], ["types"], ["start", "x"], ["logs", "x"], ["watch", "x"]):
            assert run([*words, "--url", server.url]) == Exit.UNREACHABLE
            assert "did not answer as Milepost does" in capsys.readouterr().err
    with serving(Canned(200, b"<h1>welcome</h1>")) as server, Remote(server.url) as remote:
        with pytest.raises(CommandError, match="did not answer as Milepost does") as caught:
            remote.get("/v1/types", list[str])
        assert caught.value.code is Exit.UNREACHABLE


@pytest.mark.parametrize("url", ["http://[::1", "http://127.0.0.1:port", "nonsense", "ftp://127.0.0.1", "http:///x"])
def test_a_url_that_is_none(url: str) -> None:
    with pytest.raises(CommandError) as caught, Remote(url):
        pass
    assert caught.value.code is Exit.USAGE
    assert f"--url: {url!r} is not a URL" in str(caught.value)


def test_a_url_without_a_scheme_may_be_meant_so() -> None:
    for url in ("127.0.0.1:8006", "localhost:8006/operations"):
        with pytest.raises(CommandError, match=rf" Is it http://{url}\?$"):
            Remote(url)


@pytest.mark.parametrize("key", ["a\nb", "schlüssel", "a\0"])
def test_a_key_that_no_header_can_carry_is_refused_and_not_shown(key: str) -> None:
    with pytest.raises(CommandError, match=r"^--key: .* printable ASCII") as caught:
        Remote("http://127.0.0.1:8006", key)
    assert (caught.value.code, key in str(caught.value)) == (Exit.USAGE, False)


@pytest.mark.parametrize("task_id", ["", ".", ".."])
def test_what_stands_for_an_id_leads_nowhere_else(task_id: str) -> None:
    with pytest.raises(CommandError, match="There is no such task") as caught:
        task_path(task_id, "cancel")
    assert caught.value.code is Exit.NOT_FOUND
    assert task_path("../x/..") == "/v1/tasks/..%2Fx%2F.."


def test_the_key_is_shown_and_queries_are_sent_without_what_is_not_said() -> None:
    with serving(FINE) as server, Remote(f"{server.url}/operations/", "secret") as remote:
        remote.get("/v1/tasks", msgspec.Raw, state="failed", type=None, limit=5)
        method, path, headers = server.requests[0]
    assert (method, path) == ("GET", "/operations/v1/tasks?state=failed&limit=5")
    assert headers["authorization"] == "Bearer secret"
    assert headers["user-agent"].startswith("milepost/")


def test_a_proxy_is_for_other_machines_only(monkeypatch: pytest.MonkeyPatch) -> None:
    with serving(FINE) as server, serving(Canned(200, b'"through the proxy"', "application/json")) as proxy:
        monkeypatch.setenv("HTTP_PROXY", proxy.url)
        for url in (server.url, server.url.replace("127.0.0.1", "localhost")):
            with Remote(url) as remote:
                assert bytes(remote.get("/v1/x", msgspec.Raw)) == FINE.body
        with Remote("http://milepost.invalid") as remote:
            assert remote.get("/v1/x", str) == "through the proxy"


def test_a_stream_is_not_repeated(server: Server) -> None:
    with Proxy(server.port, refuse=9) as proxy, Remote(proxy.url) as remote:
        with pytest.raises(httpx2.TransportError), remote.stream("/v1/types"):
            pass
        assert proxy.connections == 1


def test_who_waits_is_told_what_for() -> None:
    told = threading.Event()
    notes: list[str] = []

    def hear(text: str) -> None:
        notes.append(text)
        told.set()

    with serving(FINE, once=told) as server, Remote(server.url, slow=0.01, on_slow=hear) as remote:
        assert remote.get("/v1/x", dict[str, bool]) == {"fine": True}
        told.clear()
        with remote.stream("/v1/x") as response:
            assert response.read() == FINE.body
    assert notes == [f"Waiting for an answer from {server.url} …"] * 2


def test_a_stream_can_be_refused(server: Server) -> None:
    with pytest.raises(CommandError, match="no such task"), server.remote.stream("/v1/tasks/x/events"):
        pass
