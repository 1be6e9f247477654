import logging
import socket
import threading
from typing import Any

import httpx2
import pytest

from milepost.client.aparavi import (
    AparaviDTC,
    AparaviError,
    AsyncAparaviDTC,
    NoTaskStarted,
    TaskNotFound,
    Unauthorized,
    Unreachable,
)
from tests.client.flavours import Client, Flavour
from tests.client.speaker import RUNNING, TOKEN, Broken, Profile, Speaker, Told, speaking

PIPELINE = {"pipeline": {"components": [{"name": "source", "provider": "file", "config": {"path": "/data/source"}}]}}
KEY = "your-api-key"
PROFILES: tuple[Profile, ...] = ("page", "node", "python")


async def test_the_life_of_a_task(flavour: Flavour, speaker: Speaker) -> None:
    async with Client(flavour, speaker.url, KEY) as client:
        assert await client.call("start_task", PIPELINE, name="nightly", threads=4) == {
            "data": {"token": TOKEN, "type": "cpu"},
            "message": "Task started successfully",
        }
        assert (client.real.token, client.real.type) == (TOKEN, "cpu")
        assert await client.call("get_task") == {"data": RUNNING, "message": "Task status retrieved successfully"}
        assert await client.call("send_to_webhook", text="Hello") == {
            "data": {"objectsRequested": 1, "objectsCompleted": 1, "objects": {}},
            "message": "Data sent to webhook successfully",
        }
        assert await client.call("delete_task") == {"data": {"cancelled": True}, "message": "Task deleted successfully"}
    start, get, send, delete = speaker.asked
    assert (start.verb, start.path, start.query) == ("PUT", "/task", {"name": "nightly", "threads": "4"})
    assert start.headers["content-type"] == "application/json"
    assert start.body == (
        b'{"errors":[],"warnings":[],"pipeline":'
        b'{"components":[{"name":"source","provider":"file","config":{"path":"/data/source"}}]}}'
    )
    assert (get.verb, get.path, get.query) == ("GET", "/task", {"token": TOKEN, "type": "cpu"})
    assert (send.verb, send.path, send.query) == ("PUT", "/webhook", {"token": TOKEN, "type": "cpu"})
    assert (delete.verb, delete.path, delete.query) == ("DELETE", "/task", {"token": TOKEN, "type": "cpu"})
    for asked in speaker.asked:  # the key goes as it is, as the page has it
        assert asked.headers["authorization"] == KEY
        assert asked.headers["host"] == speaker.url.removeprefix("http://")


async def test_a_pipeline_may_be_given_bare_and_without_a_key(flavour: Flavour, speaker: Speaker) -> None:
    async with Client(flavour, speaker.url) as client:
        await client.call("start_task", PIPELINE["pipeline"])
    (start,) = speaker.asked
    assert start.query == {}
    assert start.body.startswith(b'{"errors":[],"warnings":[],"pipeline":{"components":[')
    assert "authorization" not in start.headers


async def test_a_server_beneath_a_path(flavour: Flavour, speaker: Speaker) -> None:
    speaker.instead = [Told(body={"status": "OK", "data": {"token": "t", "type": "cpu"}})]
    async with Client(flavour, f"{speaker.url}/operations/") as client:
        await client.call("start_task", PIPELINE)
    assert speaker.asked[0].path == "/operations/task"


@pytest.mark.parametrize("method", ["get_task", "delete_task", "wait"])
async def test_nothing_was_started(flavour: Flavour, speaker: Speaker, method: str) -> None:
    async with Client(flavour, speaker.url) as client:
        with pytest.raises(NoTaskStarted) as caught:
            await client.call(method)
        with pytest.raises(NoTaskStarted):
            await client.call("send_to_webhook", text="x")
        client.real.token = TOKEN  # and no type
        with pytest.raises(NoTaskStarted):
            await client.call(method)
    assert str(caught.value) == "Token and type are not available. Please run startTask first."
    assert caught.value.status is None
    assert speaker.asked == []


CALLS: tuple[tuple[str, str, dict[str, Any]], ...] = (
    ("get_task", "Error getting task status", {}),
    ("wait", "Error getting task status", {}),
    ("delete_task", "Error deleting task", {}),
    ("send_to_webhook", "Error sending to webhook", {"text": "x"}),
)


@pytest.mark.parametrize("profile", PROFILES)
@pytest.mark.parametrize(("method", "trouble", "options"), CALLS, ids=[call[0] for call in CALLS])
async def test_a_task_that_is_not_there(
    flavour: Flavour, profile: Profile, method: str, trouble: str, options: dict[str, Any]
) -> None:
    with speaking(profile=profile) as server:
        async with Client(flavour, server.url) as client:
            client.real.token, client.real.type = "gone", "cpu"
            with pytest.raises(TaskNotFound) as caught:
                await client.call(method, **options)
    assert str(caught.value) == f"{trouble}: Task not found"
    assert caught.value.status == (200 if profile == "python" else 404)


@pytest.mark.parametrize("profile", PROFILES)
async def test_a_key_that_is_no_good(flavour: Flavour, profile: Profile) -> None:
    with speaking(profile=profile) as server:
        server.key = "another"
        async with Client(flavour, server.url, KEY) as client:
            with pytest.raises(Unauthorized, match=r"^Error starting task: Unauthorized$"):
                await client.call("start_task", PIPELINE)
            assert client.real.token is None
            client.real.token, client.real.type = TOKEN, "cpu"
            for method, trouble, options in CALLS:
                with pytest.raises(Unauthorized) as caught:
                    await client.call(method, **options)
                assert str(caught.value) == f"{trouble}: Unauthorized"
                assert caught.value.status == 401


async def test_the_token_goes_from_one_client_to_another(flavour: Flavour, speaker: Speaker) -> None:
    async with Client(flavour, speaker.url) as first, Client(flavour, speaker.url) as second:
        await first.call("start_task", PIPELINE)
        second.real.token, second.real.type = first.real.token, first.real.type
        assert (await second.call("get_task"))["data"] == RUNNING


async def test_a_start_that_fails_leaves_the_task_before(flavour: Flavour, speaker: Speaker) -> None:
    async with Client(flavour, speaker.url) as client:
        await client.call("start_task", PIPELINE)
        speaker.instead = [Told(422, {"detail": "No."})]
        with pytest.raises(AparaviError, match=r"No\."):
            await client.call("start_task", PIPELINE)
        assert client.real.token == TOKEN


async def test_redirects_are_not_followed(flavour: Flavour) -> None:
    with speaking() as elsewhere, speaking() as server:
        server.instead = [Told(307, b"", {"location": f"{elsewhere.url}/task"})]
        async with Client(flavour, server.url, KEY) as client:
            with pytest.raises(AparaviError) as caught:
                await client.call("start_task", PIPELINE)
    assert elsewhere.asked == []
    assert str(caught.value) == (
        "Error starting task: 307 Temporary Redirect. The server does not answer as Aparavi's does. "
        "Is the base URL right?"
    )


async def test_an_answer_without_end(flavour: Flavour, speaker: Speaker) -> None:
    async with Client(flavour, speaker.url) as client:
        await client.call("start_task", PIPELINE)
        speaker.instead = [Told(body=bytes((64 << 20) + 1))]
        with pytest.raises(AparaviError, match="Error getting task status: The answer has more than 67108864 bytes"):
            await client.call("get_task")
        assert (await client.call("get_task"))["data"] == RUNNING


async def test_a_client_that_is_closed(flavour: Flavour, speaker: Speaker) -> None:
    async with Client(flavour, speaker.url) as client:
        await client.call("start_task", PIPELINE)
    await client.call("close")
    with pytest.raises(RuntimeError, match="closed"):
        await client.call("get_task")


# Secrets: the key and the token.


async def test_nothing_shows_key_or_token(
    flavour: Flavour, speaker: Speaker, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.DEBUG)
    said = [logging.getLogger(name) for name in ("httpx2", "httpcore2", "asyncio")]
    for logger in said:
        logger.setLevel(logging.DEBUG)
    secret, token = "sk-8&1/b1", "tok/7+c3"
    speaker.key = secret
    shown = []
    try:
        async with Client(flavour, speaker.url, secret) as client:
            shown.append(repr(client.real))
            speaker.instead = [Told(body={"data": {"token": token, "type": "cpu"}}), Broken()]
            await client.call("start_task", PIPELINE)
            speaker.tokens.add(token)
            await client.call("get_task")
            shown += [repr(client.real), str(client.real)]
            told = f"{secret} may not see {token}, sent as tok%2F7%2Bc3 with sk-8%261%2Fb1"
            speaker.instead = [
                Told(422, {"error": told}),
                Told(body={"status": "Error", "error": told}),
                Told(body={"error": told}),
            ]
            for method in ("get_task", "get_task", "start_task"):
                with pytest.raises(AparaviError, match="… may not see …, sent as … with …") as caught:
                    await client.call(method, *([PIPELINE] if method == "start_task" else []))
                shown += [str(caught.value), repr(caught.value)]
    finally:
        for logger in said:
            logger.setLevel(logging.NOTSET)
    shown += [record.getMessage() for record in caplog.records]
    assert any("receive_response_headers" in line for line in shown)  # the library did tell
    assert shown[0] == f"<{type(client.real).__name__} of {speaker.url}>"
    assert shown[1] == f"<{type(client.real).__name__} of {speaker.url}, with a task>"
    shown += capfd.readouterr()
    for line in shown:
        assert not any(each in line for each in (secret, token, "tok%2F7%2Bc3", "sk-8%261%2Fb1")), line


def test_a_key_does_not_cross_a_network_in_the_clear(flavour: Flavour) -> None:
    with pytest.raises(ValueError, match=r"^The key is not sent to milepost\.example over plain http") as caught:
        Client(flavour, "http://milepost.example", KEY)
    assert KEY not in str(caught.value)


# What it takes from the environment, and from whom it takes what it needs.


async def test_key_and_server_from_the_environment(
    flavour: Flavour, speaker: Speaker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MILEPOST_URL", speaker.url)
    monkeypatch.setenv("APARAVI_APIKEY", "of-aparavi")
    for given, sent in ((None, "of-aparavi"), (None, "of-milepost"), ("given", "given")):
        async with Client(flavour, None, given) as client:
            await client.call("start_task", PIPELINE)
        assert speaker.asked[-1].headers["authorization"] == sent
        monkeypatch.setenv("MILEPOST_KEY", "of-milepost")
    async with Client(flavour, None, "") as client:
        await client.call("start_task", PIPELINE)
    assert "authorization" not in speaker.asked[-1].headers


def test_without_anything_it_is_the_local_server(flavour: Flavour) -> None:
    assert "of http://localhost:8006>" in repr(Client(flavour, None).real)


@pytest.mark.parametrize("options", [{"timeout": 0}, {"timeout": float("nan")}, {"retries": -1}])
def test_limits_that_are_none(flavour: Flavour, options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="A timeout is more than 0 seconds, and retries are 0 or more"):
        Client(flavour, None, **options)


async def test_a_call_whose_limit_is_none(flavour: Flavour, speaker: Speaker) -> None:
    async with Client(flavour, speaker.url) as client:
        with pytest.raises(ValueError, match="A timeout is more than 0 seconds"):
            await client.call("start_task", PIPELINE, timeout=0)
    assert speaker.asked == []


async def test_a_transport_of_ones_own(speaker: Speaker) -> None:
    transport = httpx2.HTTPTransport()
    with AparaviDTC(None, speaker.url, transport=transport) as client:
        client.start_task(PIPELINE)
    other = httpx2.AsyncHTTPTransport()
    async with AsyncAparaviDTC(None, speaker.url, transport=other) as client_async:
        await client_async.start_task(PIPELINE)
    assert len(speaker.asked) == 2


async def test_a_proxy_that_the_environment_names(flavour: Flavour, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{proxy.getsockname()[1]}")
        heard = _refuse_one(proxy)
        async with Client(flavour, "https://milepost.example", KEY) as client:
            with pytest.raises(Unreachable, match=r"Error starting task: no answer .*403"):
                await client.call("start_task", PIPELINE)
        said = heard()
    assert said.startswith(b"CONNECT milepost.example:443 HTTP/1.1")
    assert KEY.encode() not in said


def _refuse_one(proxy: socket.socket) -> Any:
    """Answer one CONNECT with a refusal, in a thread; gives what gives what was said."""
    said: list[bytes] = []

    def take() -> None:
        connection, _ = proxy.accept()
        with connection:
            said.append(connection.recv(1 << 16))
            connection.sendall(b"HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\n\r\n")

    thread = threading.Thread(target=take)
    thread.start()

    def heard() -> bytes:
        thread.join(60)
        return said[0]

    return heard
