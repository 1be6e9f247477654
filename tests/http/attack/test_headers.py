"""A header that is said twice, or that a client says in a proxy's place, brings nobody more than it has a right to."""

from collections.abc import Sequence
from typing import Final

import pytest

from milepost.access.principal import LOCAL
from milepost.http.dialects.cloudcoin import CloudCoin
from milepost.http.dialects.known import dialects
from milepost.http.forwarded import Forwarding
from milepost.start import Start
from tests.http.conftest import http_app, in_memory
from tests.http.dialects.addresses import TENANT, paths

from .conftest import AFTER, HOST, Attacked, exchange, marks, port_of, serving

pytestmark = pytest.mark.asyncio(loop_scope="module")

WRONG: Final = f"mp_{'0' * 16}_{'1' * 64}"
LIST: Final = "GET /v1/tasks HTTP/1.1"
START: Final = "POST /v1/tasks HTTP/1.1"
JSON: Final = "Content-Type: application/json"


def request(first: str, *lines: str, body: str = "") -> bytes:
    """A request with these lines in its head."""
    text = "\r\n".join([first, *lines, *([f"Content-Length: {len(body)}"] if body else [])])
    return text.encode("latin-1") + b"\r\n" + HOST + b"\r\n" + body.encode()


async def statuses(port: int, *requests: bytes) -> Sequence[str | int]:
    """What is answered to requests on one connection, which is well after them."""
    *found, after = marks(await exchange(port, b"".join(requests) + AFTER))
    assert after == "after"
    return found


async def test_what_stands_for_one_value_is_said_once(attacked: Attacked, port: int) -> None:
    key = f"Authorization: Bearer {attacked.keys.admin}"
    wrong = f"Authorization: Bearer {WRONG}"
    body = '{"type": "none"}'
    assert await statuses(port, request(LIST, key)) == [200]
    twice = [
        request(LIST, key, wrong),
        request(LIST, wrong, key),
        request(LIST, key, key),
        request(LIST, key, "authorization: Basic eDp5"),
        request(LIST, key, "Origin: http://127.0.0.1", "Origin: http://evil.example"),
        request(LIST, key, "Range: bytes=0-1", "Range: bytes=1-2"),
        request(START, key, JSON, "Content-Type: text/plain", body=body),
        request(START, key, JSON, JSON, body=body),
    ]
    assert await statuses(port, *twice) == [400] * len(twice)
    keyed = [JSON, key, "Idempotency-Key: a", "Idempotency-Key: b"]
    assert await statuses(port, request(START, *keyed, body=body)) == [422]


async def test_conditions_that_are_said_twice_are_one_list(attacked: Attacked, port: int) -> None:
    """As lists may be (RFC 9110, section 5.3): any of the versions will do."""
    task = (await attacked.service.start(LOCAL, Start(type="export", tenant=TENANT), origin="native")).task
    key = f"Authorization: Bearer {attacked.keys.admin}"
    change = f"PATCH /v1/tasks/{task.id} HTTP/1.1"
    lines = [key, JSON, 'If-Match: "9-native"', 'If-Match: "8-native"']
    assert await statuses(port, request(change, *lines, body='{"title": "x"}')) == [412]
    lines[-1] = f'If-Match: "{task.version}-native"'
    assert await statuses(port, request(change, *lines, body='{"title": "x"}')) == [200]
    await attacked.service.cancel(LOCAL, task.id)
    await attacked.service.delete(LOCAL, task.id)


@pytest.mark.parametrize(
    "line",
    [
        "Cookie: key={key}; Authorization={key}; token={key}",
        "Proxy-Authorization: Bearer {key}",
        "X-Api-Key: {key}",
        "X-Authorization: Bearer {key}",
        "X-Spaaza-Session-Key: {key}",
        "Authorization: Basic {key}",
        "Authorization: Digest {key}",
        "Authorization: Bearer {key}, Bearer {key}",
        "Authorization: Bearer\x0b{key}",
        "Authorization: {key}",
        "Sec-WebSocket-Protocol: {key}",
        "X-Forwarded-User: ada",
        "X-Remote-User: ada",
        "X-Original-URL: /healthz",
        "X-Rewrite-URL: /healthz",
        "X-HTTP-Method-Override: GET",
    ],
)
async def test_a_key_is_shown_in_one_way_alone(line: str, attacked: Attacked, port: int) -> None:
    """Nothing that a browser sends by itself is a right: no cookie, and nothing of a URL."""
    key = attacked.keys.service
    shown = request(LIST, line.format(key=key))
    answers = await exchange(port, shown + AFTER)
    assert marks(answers) in ([401, "after"], [400])
    for query in (f"key={key}", f"access_token={key}", f"token={key}", f"authorization=Bearer%20{key}"):
        assert await statuses(port, request(f"GET /v1/tasks?{query} HTTP/1.1")) == [401]


async def test_what_another_way_shows_beside_a_key_is_not_looked_at(attacked: Attacked, port: int) -> None:
    key, wrong = f"Authorization: Bearer {attacked.keys.admin}", f"Authorization: Bearer {WRONG}"
    other = [f"Cookie: key={WRONG}", f"X-Api-Key: {WRONG}", f"Proxy-Authorization: Bearer {WRONG}"]
    assert await statuses(port, request(LIST, key, *other)) == [200]
    right = [line.replace(WRONG, attacked.keys.service) for line in other]
    assert await statuses(port, request(LIST, wrong, *right)) == [401]


async def test_a_dialect_that_knows_two_ways_takes_them_if_they_agree(attacked: Attacked, port: int) -> None:
    key = attacked.keys.admin
    tasks = f"GET /tasks?chain={TENANT} HTTP/1.1"
    session = f"X-Spaaza-Session-Key: {key}"
    for lines, status in (
        ([f"Authorization: Bearer {key}", session], 200),
        ([f"Authorization: Bearer {attacked.keys.service}", session], 400),
        ([f"Authorization: Bearer {WRONG}", session], 400),
        ([f"Authorization: Bearer {key}", f"X-Spaaza-Session-Key: {WRONG}"], 400),
        ([session, session], 400),
        ([session, f"X-Spaaza-Session-Chain-Id: {TENANT}", "X-Spaaza-Session-Chain-Id: 1"], 400),
    ):
        assert await statuses(port, request(tasks, *lines)) == [status], lines


async def test_no_header_is_taken_off_because_another_says_so(attacked: Attacked, port: int) -> None:
    """What `Connection` lists is for a proxy to take off. Nothing is that is asked for here."""
    key, wrong = f"Authorization: Bearer {attacked.keys.admin}", f"Authorization: Bearer {WRONG}"
    listed = "Connection: keep-alive, Authorization, Host, X-Forwarded-For"
    assert await statuses(port, request(LIST, listed, key)) == [200]
    assert await statuses(port, request(LIST, listed, wrong), request(LIST, listed)) == [401, 401]


SPOOFED: Final = (
    "X-Forwarded-For: 127.0.0.1",
    "X-Forwarded-Host: evil.example",
    "X-Forwarded-Proto: https",
    "X-Forwarded-Prefix: /evil",
    "Forwarded: for=127.0.0.1;host=evil.example;proto=https",
    "X-Real-IP: 127.0.0.1",
    "X-Forwarded-For: 127.0.0.1, 127.0.0.1",
    "X-Host: evil.example",
    "X-Forwarded-Server: evil.example",
    "Via: 1.1 evil.example",
    "True-Client-IP: 127.0.0.1",
)


@pytest.mark.parametrize("proxies", [(), ("10.0.0.0/8",)])
async def test_who_is_no_trusted_proxy_says_nothing_of_where_this_is(
    proxies: Sequence[str], attacked: Attacked
) -> None:
    app = http_app(attacked.service, *dialects(), forwarding=Forwarding(proxies))
    async with serving(app) as url:
        port, key = port_of(url), f"Authorization: Bearer {attacked.keys.admin}"
        [plain, _] = await exchange(port, request("GET / HTTP/1.1", key) + AFTER)
        for lines in (*((line,) for line in SPOOFED), SPOOFED):
            answers = await exchange(port, request("GET / HTTP/1.1", key, *lines) + AFTER)
            assert [answer.headers["location"] for answer in answers[:1]] == [plain.headers["location"]]
            assert b"evil" not in b"".join(answer.body for answer in answers)
            assert await statuses(port, request(LIST, *lines)) == [401]


async def test_nor_brings_it_anybody_in_where_a_caller_of_this_machine_needs_no_key(attacked: Attacked) -> None:
    """CloudCoin's clients, bound to a user, are programs of this machine: a proxy that is none of ours is not one."""
    task = (await attacked.service.start(LOCAL, Start(type="export", tenant=TENANT), origin="native")).task
    app = http_app(attacked.service, CloudCoin(caller=f"coins@{TENANT}"))
    path = (await paths(attacked.service, task))["cloudcoin"]
    async with serving(app) as url:
        read = f"GET {path} HTTP/1.1"
        assert await statuses(port_of(url), request(read)) == [404], "let in, and told of none but its own"
        for line in SPOOFED[:1] + SPOOFED[4:6] + ("Via: 1.1 x",):
            assert await statuses(port_of(url), request(read, line)) == [401], line
    await attacked.service.cancel(LOCAL, task.id)
    await attacked.service.delete(LOCAL, task.id)


async def test_what_another_server_lets_pass_is_refused_too(attacked: Attacked) -> None:
    """In an application of somebody else's, whose server takes a length beside chunks, and more."""
    key = {"authorization": f"Bearer {attacked.keys.admin}"}
    async with in_memory(http_app(attacked.service, *dialects())) as client:
        both = {"content-length": "2", "transfer-encoding": "chunked", "content-type": "application/json"}
        assert (await client.post("/v1/tasks", content=b"{}", headers={**key, **both})).status_code == 400
