"""Whatever is wrong with a request, the answer is a problem that names the field, and the server goes on as before."""

import base64
import json
from collections.abc import AsyncIterator
from typing import Any

import httpx2
import pytest

from milepost.access.limits import DEFAULT_LIMITS
from milepost.access.principal import LOCAL
from milepost.http.dialects.native_requests import StartBody, UpdateBody
from milepost.http.query import MAX_PARAMETERS
from milepost.service import Service
from milepost.start import MAX_KEY
from milepost.store.protocol import TypeInfo
from milepost.task import Task
from tests.http.conftest import Tasks

JSON = {"content-type": "application/json"}
ODD: dict[str, Any] = {
    "null": None,
    "true": True,
    "number": 1.5,
    "huge": 2**70,
    "negative": -1,
    "text": "\x7fnonsense",
    "list": [[]],
    "object": {"\x00": 1},
}
"""A value of each kind; whatever a field takes, most of these it does not."""


@pytest.fixture(autouse=True)
async def goes_on(client: httpx2.AsyncClient, service: Service) -> AsyncIterator[None]:
    """After each of these the server does its work as before."""
    await service.store.publish_types([TypeInfo("any", "loop", {"type": "object"})])
    yield
    started = await client.post("/v1/tasks", json={"type": "any"})
    assert started.status_code == 202
    assert (await client.get(started.headers["location"])).json() == started.json()


def problem(response: httpx2.Response, status: int) -> dict[str, Any]:
    """The problem that a response tells, in a form that clients can rely on."""
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    body: dict[str, Any] = response.json()
    assert body["status"] == status
    assert body["type"].startswith("/problems/")
    assert body["detail"]
    return body


def places(response: httpx2.Response, status: int = 422) -> list[str]:
    """The pointers and parameters that a problem names."""
    errors = problem(response, status)["errors"]
    assert all(error["detail"] for error in errors)
    return [error["pointer"] if "pointer" in error else error["parameter"] for error in errors]


FIELDS = sorted(StartBody.__struct_fields__)


@pytest.mark.parametrize("field", FIELDS)
async def test_a_value_of_the_wrong_kind_is_pointed_at(field: str, client: httpx2.AsyncClient) -> None:
    refused = 0
    for value in ODD.values():
        response = await client.post("/v1/tasks", json={"type": "any", field: value})
        if response.status_code == 422:
            refused += 1
            assert all(f"{place}/".startswith(f"/{field}/") for place in places(response))
        else:
            assert response.status_code == 202, response.text
    assert refused >= 5


@pytest.mark.parametrize("field", sorted({*UpdateBody.__struct_fields__} - {"result"}))
async def test_so_it_is_in_a_change(field: str, client: httpx2.AsyncClient, tasks: Tasks) -> None:
    task = await tasks.service.get(LOCAL, (await tasks.start("mine", runner="external")).id)
    refused = 0
    for value in ODD.values():
        response = await client.patch(f"/v1/tasks/{task.id}", json={field: value})
        if response.status_code == 422:
            refused += 1
            assert all(f"{place}/".startswith(f"/{field}/") for place in places(response))
        else:
            assert response.status_code in (200, 409), response.text
    assert refused >= 5


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        (b'{"type": "any", "nope": 1}', "/nope"),
        (b'{"input": {}}', "/type"),
        (b'{"type": "nope"}', "/type"),
        (b'{"type": "' + b"x" * 100_000 + b'"}', "/type"),
        (b'{"type": "export", "input": {"rows": 1, "rowz": 2}}', "/input/rowz"),
        (b'{"type": "export", "input": {"rows": "1"}}', "/input/rows"),
        (b'{"type": "any", "title": "a\\u0000b"}', "/title"),
        (b'{"type": "any", "title": "a", "title": "b"}', "/title"),
        (b'{"type": "any", "input": {"x": 1e400}}', "/input/x"),
        (b'{"type": "any", "priority": 1e400}', "/priority"),
        (b'{"type": "any", "priority": ' + b"9" * 5000 + b"}", "/priority"),
        (b'{"type": "any", "timeout": -0.0}', "/timeout"),
        (b'{"type": "any", "start_by": "0001-01-01T00:00:00Z"}', "/start_by"),
        (b'{"type": "any", "trigger": {"cron": "' + b"*," * 100_000 + b'* * * * *"}}', "/trigger/cron"),
        (b'{"type": "any", "trigger": {"cron": "0 0 30 2 *"}}', "/trigger/cron"),
        (b'{"type": "any", "trigger": {"cron": "* * * * *", "timezone": "../etc/passwd"}}', "/trigger/timezone"),
        (b'{"type": "any", "trigger": {"every": "99999999999999999999w"}}', "/trigger/every"),
        ('{"type": "any", "depends_on": ["\N{FULLWIDTH DIGIT ZERO}' + "0" * 31 + '"]}', "/depends_on/0"),
        (b"[]", ""),
        (b"null", ""),
        (b'"' * 2, ""),
    ],
)
async def test_a_body_that_is_wrong_is_pointed_into(
    body: bytes | str, pointer: str, client: httpx2.AsyncClient
) -> None:
    assert places(await client.post("/v1/tasks", content=body, headers=JSON)) == [pointer]


@pytest.mark.parametrize(
    ("body", "pointers"),
    [
        (b"", []),
        (b"\xef\xbb\xbf{}", []),
        (b'{"type": "any"', []),
        (b"[" * 100_000, []),
        (b'{"type": "any", "input": {"x":' + b'{"x":' * 100_000, []),
        (b'{"type": "any", "title": "\xff"}', ["/title"]),
        (b'{"type": "any", "title": "\\ud800"}', ["/title"]),
        (b'{"type": "any", "metadata": {"\\udc00": 1}}', ["/metadata"]),
        (b'{"type": "any", "input": {"x": [NaN]}}', ["/input/x/0"]),
        (b'{"type": "any", "timeout": Infinity}', ["/timeout"]),
    ],
)
async def test_a_body_that_is_no_json_is_malformed(
    body: bytes, pointers: list[str], client: httpx2.AsyncClient
) -> None:
    told = problem(await client.post("/v1/tasks", content=body, headers=JSON), 400)
    assert [error["pointer"] for error in told.get("errors", [])] == pointers


async def test_free_json_is_kept_as_it_is(client: httpx2.AsyncClient) -> None:
    free = {"": 2**70, "\x00": "\x00", "deep": json.loads("[" * 90 + "]" * 90), "-0": -0.0, "\N{PILE OF POO}": [1e300]}
    started = await client.post("/v1/tasks", json={"type": "any", "metadata": free, "input": free})
    read = (await client.get(started.headers["location"] + "?include=input")).json()
    assert read["metadata"] == read["input"] == free


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"content-type": ""}, 415),
        ({"content-type": "text/plain"}, 415),
        ({"content-type": "application/json, text/plain"}, 415),
        ({"content-type": "application/x-www-form-urlencoded"}, 415),
        ({**JSON, "content-encoding": "gzip"}, 415),
        ({"content-type": "application/json; charset=latin-1"}, 415),
        ({**JSON, "content-length": str(DEFAULT_LIMITS.body + 1)}, 413),
        ({**JSON, "content-length": "9" * 5000}, 413),
    ],
)
async def test_a_body_that_is_not_taken(headers: dict[str, str], status: int, client: httpx2.AsyncClient) -> None:
    problem(await client.post("/v1/tasks", content=b'{"type": "any"}', headers=headers), status)
    assert (await client.get("/v1/tasks")).json()["tasks"] == []


async def test_a_body_that_grows_too_large(client: httpx2.AsyncClient) -> None:
    async def endless() -> AsyncIterator[bytes]:
        while True:
            yield b" " * 65536

    problem(await client.post("/v1/tasks", content=endless(), headers=JSON), 413)


@pytest.mark.parametrize(
    "keys",
    [[""], ["x" * (MAX_KEY + 1)], ["\N{LATIN SMALL LETTER E WITH ACUTE}"], ["a\x01"], ["a", "b"], ["a", "a"]],
)
async def test_a_key_that_is_none_is_named(keys: list[str], client: httpx2.AsyncClient) -> None:
    headers = [(b"content-type", b"application/json"), *((b"idempotency-key", key.encode("latin-1")) for key in keys)]
    assert places(await client.post("/v1/tasks", json={"type": "any"}, headers=headers)) == ["Idempotency-Key"]


@pytest.mark.parametrize(
    "prefer",
    [
        "wait",
        "wait=",
        "wait=-1",
        "wait=1e9",
        "wait=\N{SUPERSCRIPT TWO}",
        "respond-async",
        ";;,=",
        "x" * 9999,
        "wait=nan",
    ],
)
async def test_a_preference_that_is_none_is_ignored(prefer: str, client: httpx2.AsyncClient) -> None:
    headers = {b"prefer": prefer.encode("latin-1")}
    response = await client.post("/v1/tasks", json={"type": "any"}, headers=headers)
    assert response.status_code == 202
    assert "preference-applied" not in response.headers


NUMBERS = ["-1", "nan", "1e400", "9" * 400, "", "x", "\N{ARABIC-INDIC DIGIT THREE}", "1;2", "0x1", "%00"]


@pytest.mark.parametrize("value", NUMBERS)
async def test_a_parameter_that_is_no_number_is_named(value: str, client: httpx2.AsyncClient, tasks: Tasks) -> None:
    task = f"/v1/tasks/{(await tasks.start()).id}"
    for path, names in {
        task: ("wait", "version"),
        f"{task}/logs": ("after", "limit", "wait"),
        f"{task}/events": ("last_event_id",),
        "/v1/tasks": ("limit", "after", "parent", "state"),
    }.items():
        for name in names:
            if (name, value) != ("state", ""):  # an empty list is one
                assert places(await client.get(f"{path}?{name}={value}")) == [name], (path, name)


@pytest.mark.parametrize(
    ("query", "status", "names"),
    [
        ("wait=1&wait=1", 422, ["wait"]),
        ("nope=1", 422, ["nope"]),
        ("=", 422, [""]),
        ("wait=61", 422, ["wait"]),
        ("wait=inf", 422, ["wait"]),
        ("version=9223372036854775808", 422, ["version"]),
        ("include=nope", 422, ["include"]),
        ("include=input,,", 422, ["include"]),
        ("include=%FF", 400, ["include"]),
        ("%FF=1", 400, ["\\xff"]),
        ("wait=%ZZ", 422, ["wait"]),
    ],
)
async def test_a_query_that_is_wrong_is_named(
    query: str, status: int, names: list[str], client: httpx2.AsyncClient, tasks: Tasks
) -> None:
    assert places(await client.get(f"/v1/tasks/{(await tasks.start()).id}?{query}"), status) == names


async def test_a_query_has_an_end(client: httpx2.AsyncClient) -> None:
    problem(await client.get("/v1/tasks?" + "&".join(["state=queued"] * (MAX_PARAMETERS + 1))), 400)
    assert places(await client.get("/v1/tasks?after=" + "A" * 60_000)) == ["after"]


async def test_a_cursor_that_no_list_gave_is_named(client: httpx2.AsyncClient, tasks: Tasks) -> None:
    for _ in range(2):
        await tasks.start()
    cursor = (await client.get("/v1/tasks?limit=1")).json()["next"]
    sealed = bytearray(base64.urlsafe_b64decode(cursor))
    forged = [bytes(byte ^ (index == at) for index, byte in enumerate(sealed)) for at in range(len(sealed))]
    others = [cursor[:-1], cursor[1:], cursor + "A", cursor.swapcase(), f"{cursor[:9]} {cursor[9:]}", cursor * 2]
    for wrong in (*others, *(base64.urlsafe_b64encode(bytes_).decode() for bytes_ in forged)):
        assert places(await client.get("/v1/tasks", params={"after": wrong})) == ["after"]


@pytest.mark.parametrize("condition", ["garbage", "1", '"1-native', ",,,", "", '"1-native" "2-native"'])
async def test_a_condition_that_is_none_is_named(condition: str, client: httpx2.AsyncClient, tasks: Tasks) -> None:
    path = f"/v1/tasks/{(await tasks.start()).id}"
    assert places(await client.patch(path, json={"title": "T"}, headers={"if-match": condition})) == ["If-Match"]
    assert (await client.get(path)).json()["title"] is None


@pytest.mark.parametrize(
    "conditions", [['W/"1-native"'], ['"9-native"', '"8-native"'], [f'"{"9" * 99}-native"'], ['""']]
)
async def test_a_condition_that_does_not_hold_changes_nothing(
    conditions: list[str], client: httpx2.AsyncClient, tasks: Tasks
) -> None:
    path = f"/v1/tasks/{(await tasks.start()).id}"
    headers = [("content-type", "application/json"), *(("if-match", condition) for condition in conditions)]
    problem(await client.patch(path, json={"title": "T"}, headers=headers), 412)
    assert (await client.get(path)).json()["title"] is None


@pytest.mark.parametrize("seen", ["x", "-1", "1.5", "9" * 19, "9" * 9999, "\N{SUPERSCRIPT TWO}", "1, 2"])
async def test_an_event_id_that_is_none_is_named(seen: str, client: httpx2.AsyncClient, tasks: Tasks) -> None:
    path = f"/v1/tasks/{(await tasks.start()).id}/events"
    response = await client.get(path, headers={b"last-event-id": seen.encode("latin-1")})
    assert places(response) == ["Last-Event-ID"]


@pytest.mark.parametrize(
    "wanted",
    [
        "bytes=5-2",
        "bytes=0-1,3-4",
        "bytes=a-b",
        "lines=0-1",
        "bytes",
        "bytes=-",
        "bytes=" + "9" * 999 + "-",
        "bytes=\xb2-",
    ],
)
async def test_a_range_that_is_none_is_ignored(wanted: str, client: httpx2.AsyncClient, tasks: Tasks) -> None:
    path = f"/v1/tasks/{(await tasks.with_file(b'0123456789')).id}/result"
    response = await client.get(path, headers={b"range": wanted.encode("latin-1")})
    assert (response.status_code, response.content) == (200, b"0123456789")


@pytest.mark.parametrize("wanted", ["bytes=10-", "bytes=-0", "bytes=999999999999999999-"])
async def test_a_range_past_the_end_is_refused(wanted: str, client: httpx2.AsyncClient, tasks: Tasks) -> None:
    path = f"/v1/tasks/{(await tasks.with_file(b'0123456789')).id}/result"
    problem(await client.get(path, headers={"range": wanted}), 416)


IDS = [
    *("%00", "%2F", "%2e%2e", "..%2F..", "%FF", "%ED%A0%80", "%", "%zz", "-" * 36, "0" * 31 + "%C2%B2", "x" * 60_000),
    *("%EF%BC%90" * 32, "%C4%B0" * 32, "{id}", "urn:uuid:" + "0" * 32, "0" * 32 + "%00", "0" * 32 + "%0A", "0" * 32),
]


@pytest.mark.parametrize("id", IDS)
async def test_an_id_that_is_none_is_not_found(id: str, client: httpx2.AsyncClient) -> None:
    path = f"/v1/tasks/{id}"
    for read in ("", "?include=input", "/events", "/logs", "/result"):
        problem(await client.get(path + read), 404)
        assert (await client.head(path + read)).status_code == 404
    for action in ("cancel", "pause", "resume", "retry"):
        problem(await client.post(f"{path}/{action}"), 404)
    problem(await client.patch(path, json={"title": "T"}), 404)
    problem(await client.delete(path), 404)


@pytest.mark.parametrize("path", ["/v1/tasks/", "//v1/tasks", "/v1//tasks", "/V1/tasks", "/v1%2Ftasks", "/v1/tasks%3F"])
async def test_a_path_that_is_nearly_one_leads_nowhere(path: str, client: httpx2.AsyncClient) -> None:
    problem(await client.get(path), 404)


async def test_a_method_that_a_path_does_not_take(client: httpx2.AsyncClient, tasks: Tasks) -> None:
    task = await tasks.start()
    for path, allowed in {
        "/v1/tasks": {"GET", "HEAD", "POST"},
        f"/v1/tasks/{task.id}": {"GET", "HEAD", "PATCH", "DELETE"},
        f"/v1/tasks/{task.id}/cancel": {"POST"},
        f"/v1/tasks/{task.id}/result": {"GET", "HEAD"},
        "/healthz": {"GET", "HEAD"},
    }.items():
        for method in {"OPTIONS", "TRACE", "PUT", "POST", "DELETE", "PATCH", "CONNECT", "NOPE"} - allowed:
            response = await client.request(method, path)
            problem(response, 405)
            assert set(response.headers["allow"].split(", ")) == allowed
    assert await tasks.service.get(LOCAL, task.id) == task


async def test_head_has_the_head_of_every_read(client: httpx2.AsyncClient, tasks: Tasks) -> None:
    task: Task = await tasks.with_file(b"content")
    own = [f"/v1/tasks/{task.id}{part}" for part in ("", "/logs", "/events", "/result")]
    for path in (*own, "/v1/tasks", "/v1/types", "/healthz", "/readyz", "/openapi.json", "/docs"):
        read, head = await client.get(path), await client.head(path)
        assert (head.status_code, head.content) == (read.status_code, b"")
        assert head.headers["content-type"] == read.headers["content-type"]
        assert head.headers.get("etag") == read.headers.get("etag")


@pytest.mark.parametrize("action", ["cancel", "pause", "resume", "retry"])
async def test_an_action_takes_no_parameter(action: str, client: httpx2.AsyncClient, tasks: Tasks) -> None:
    task = await tasks.start()
    assert places(await client.post(f"/v1/tasks/{task.id}/{action}?force=true")) == ["force"]
    assert await tasks.service.get(LOCAL, task.id) == task


@pytest.mark.parametrize("body", [b'{"revive": false}', b"[]", b"null", b"{", b" {}x", b"x" * (2 << 20)])
@pytest.mark.parametrize("action", ["cancel", "pause", "resume", "retry"])
async def test_an_action_takes_no_body(action: str, body: bytes, client: httpx2.AsyncClient, tasks: Tasks) -> None:
    task = await tasks.start()
    refused = await client.post(f"/v1/tasks/{task.id}/{action}", content=body, headers=JSON)
    assert (refused.status_code, refused.json()["errors"]) == (422, [{"detail": "This takes no body.", "pointer": ""}])
    assert await tasks.service.get(LOCAL, task.id) == task


@pytest.mark.parametrize("body", [b"", b" ", b"{}", b"{} "])
async def test_nothing_in_a_body_is_no_body(body: bytes, client: httpx2.AsyncClient, tasks: Tasks) -> None:
    task = await tasks.start()
    assert (await client.post(f"/v1/tasks/{task.id}/cancel", content=body, headers=JSON)).status_code == 200


@pytest.mark.parametrize("value", ["", "2", "maybe", "null", "1&cascade=1"])
async def test_a_flag_is_yes_or_no(value: str, client: httpx2.AsyncClient, tasks: Tasks) -> None:
    task = await tasks.succeeded()
    assert places(await client.delete(f"/v1/tasks/{task.id}?cascade={value}")) == ["cascade"]
    assert await tasks.service.get(LOCAL, task.id) == task
