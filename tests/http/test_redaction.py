import logging
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import httpx2
import pytest
from starlette.types import Receive, Scope, Send

from milepost.http.redaction import ACCESS_LOG, CREDENTIALS, Redaction, hide_secrets
from tests.http.conftest import served

REDACTION = Redaction(["token"], ["/results/"])
TOKEN = "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJhZGEifQ.c2lnbmF0dXJl"
KEY = "mp_0123456789abcdef_" + 32 * "f0"
SECRET = "01995c1e-6a52-7e3f-9a44-3f0c8f1f2d10"


@pytest.mark.parametrize(
    ("url", "logged"),
    [
        (f"/task?token={SECRET}&type=cpu", "/task?token=hidden&type=cpu"),
        (f"/x/task?type=cpu&token={SECRET}", "/x/task?type=cpu&token=hidden"),
        (f"/task?t%6Fken={SECRET}&token=", "/task?t%6Fken=hidden&token=hidden"),
        (f"/task?token={SECRET}=&token={SECRET}", "/task?token=hidden&token=hidden"),
        ("/task?tokens=1&a=token&token", "/task?tokens=1&a=token&token"),
        ("/task", "/task"),
        (f"/results/{SECRET}", "/results/hidden"),
        (f"http://x/y/results/{SECRET}/z?token={SECRET}", "http://x/y/results/hidden?token=hidden"),
        (f"/RESULTS/{SECRET}", "/RESULTS/hidden"),
        (f"/task?Token={SECRET}&x=1;token={SECRET}", "/task?Token=hidden&x=1;token=hidden"),
        (f"/task?token[]={SECRET}&+token={SECRET}", "/task?token[]=hidden&+token=hidden"),
        (f"/v1/tasks?key={KEY}&a=1", "/v1/tasks?key=hidden&a=1"),
        (f"/{KEY}/tasks", "/hidden/tasks"),
        (f"/v1/tasks?access_token={TOKEN}&a=1", "/v1/tasks?access_token=hidden&a=1"),
        ("/v1/tasks/eyJx.y", "/v1/tasks/eyJx.y"),
        (f"/?a=Bearer%20{TOKEN}", "/?a=hidden"),
        (f"/?x={KEY[3:]}&y={KEY[3:].replace('_', ':')}", "/?x=hidden&y=hidden"),
        (f"/?x={KEY.replace('_', '%5F')}&y=1", "/?x=hidden&y=1"),
        (f"/?x={KEY.replace('_', '%255f')}", "/?x=hidden"),
        (f"/?{KEY.replace('_', '%5F')}=1;y", "/?hidden;y"),
        (f"/?x={KEY[3:].replace('_', '%3A')};y=%20", "/?x=hidden;y=%20"),
        (f"/v1/{KEY.replace('_', '%5F')}/b", "/v1/hidden/b"),
        (f"/task?a%5btoken%5d={SECRET}&accessToken={SECRET}", "/task?a%5btoken%5d=hidden&accessToken=hidden"),
        ("/task?token=abc;rest&a=1", "/task?token=hidden&a=1"),
        ("/results/", "/results/"),
        ("/results", "/results"),
        ("127.0.0.1:50000", "127.0.0.1:50000"),
    ],
)
def test_only_the_values_of_secrets_are_hidden(url: str, logged: str) -> None:
    assert REDACTION.redacted(url) == logged


@pytest.mark.parametrize("name", ["key", "access_token", "X-Api-Key", "session", "sessionId", "client_secret", "sig"])
def test_what_is_called_like_a_credential_is_hidden_whole(name: str) -> None:
    assert Redaction(CREDENTIALS, []).redacted(f"/v1/tasks?{name}=a1;b2&type=x") == f"/v1/tasks?{name}=hidden&type=x"


LARGE = 300_000


@pytest.mark.timeout(20)  # what looks at a run again from each of its characters takes minutes
@pytest.mark.parametrize(
    "run", ["eyJ", "eyJ.", "eyJ.a", "mp_", "mp_0123456789abcdef_", "a-", "%25", "%65", ";", "&", "="]
)
@pytest.mark.parametrize("before", ["/healthz?x=", "/", "/?"])
def test_however_long_a_run_is_it_is_looked_through_once(before: str, run: str) -> None:
    redaction = Redaction(CREDENTIALS, [])
    assert redaction.redacted(before + run * (LARGE // len(run)))


@pytest.mark.parametrize("secret", [KEY, KEY[3:].replace("_", ":"), TOKEN])
@pytest.mark.parametrize("times", range(4))
def test_a_secret_is_known_however_often_it_was_encoded(secret: str, times: int) -> None:
    for number in range(times):
        secret = quote(secret, safe="") if number else "".join(f"%{ord(letter):02X}" for letter in secret)
    assert secret not in REDACTION.redacted(f"/v1/tasks?x={secret}")
    assert secret not in REDACTION.redacted(f"/v1/{secret}")


def test_what_has_no_arguments_is_logged_as_it_is() -> None:
    for args in ((), ({"token": 1},)):
        record = logging.LogRecord("x", logging.INFO, "x", 1, "said", args, None)
        assert REDACTION.filter(record)
        assert record.getMessage() == "said"


@pytest.fixture
def lines() -> Iterator[list[str]]:
    """What the access log says."""
    said: list[str] = []

    class Kept(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            said.append(record.getMessage())

    logger, handler = logging.getLogger(ACCESS_LOG), Kept()
    logger.addHandler(handler)
    yield said
    logger.removeHandler(handler)


async def test_a_real_server_logs_no_secret(lines: list[str]) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        start: dict[str, Any] = {"type": "http.response.start", "status": 204, "headers": []}
        await send(start)
        await send({"type": "http.response.body"})

    hide_secrets()
    hide_secrets()
    assert len(logging.getLogger(ACCESS_LOG).filters) == 1
    async with served(app, log_level="info", log_config=None) as url, httpx2.AsyncClient(base_url=url) as client:
        await client.get("/task", params={"token": SECRET, "type": "cpu"})
        await client.get(f"/results/{SECRET}")
    assert [line.partition('"')[2] for line in lines] == [
        'GET /task?token=hidden&type=cpu HTTP/1.1" 204',
        'GET /results/hidden HTTP/1.1" 204',
    ]
