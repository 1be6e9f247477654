"""What a head says: is each header read, ignored or refused by its name, whatever is in it?"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any
from urllib.parse import urlencode

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.requests import Request

from milepost.access.wrong_keys import network
from milepost.cli.strict import doubt
from milepost.errors import Invalid, Malformed, ServiceError, TooLarge
from milepost.http import credentials, etag, events, files, prefer
from milepost.http.body import check_coding, check_length, check_media_type, is_without_body
from milepost.http.dialects.known import dialects
from milepost.http.dialects.native import _idempotency_key
from milepost.http.dispatch import Table, Unrouted
from milepost.http.errors import UnsupportedMediaType
from milepost.http.forwarded import PUBLIC, VOUCHED, Forwarding
from milepost.http.headers import check_single
from milepost.http.open_mode import OpenMode, is_loopback
from milepost.http.query import QueryReader
from milepost.http.site import Site
from milepost.http.upload import LONGEST_DISPOSITION, disposed_name
from tests.fuzz.dirt import blobs, dirty, fuzzed, names_of, shaped, texts

Headers = Sequence[tuple[str, str]]


def request(headers: Headers, **scope: Any) -> Request:
    """A request with this head; text stands for its bytes in UTF-8."""
    raw = [(name.encode(), value.encode("utf-8", "surrogatepass")) for name, value in headers]
    return Request({"type": "http", "method": "GET", "headers": raw, "query_string": b"", "path": "/", **scope})


@fuzzed(60)
@given(
    st.sampled_from(["1.1", "1.0", "2.0"]),
    st.sampled_from([b"GET", b"CONNECT", b"OPTIONS"]),
    dirty(st.sampled_from(["/a", "*", "http://h/a", "//h", "h:80", "/a#b", "http://[::1"])),
    st.lists(
        st.tuples(
            st.sampled_from(["host", "transfer-encoding", "content-length"]),
            dirty(st.sampled_from(["localhost", "[::1]:5", "chunked", "gzip, chunked", "5"])),
        ),
        max_size=3,
    ),
)
def test_heads_in_doubt(version: str, method: bytes, target: str, headers: Headers) -> None:
    said = [(name.encode(), value.encode("utf-8", "surrogatepass")) for name, value in headers]
    assert isinstance(doubt(version, method, target.encode("utf-8", "surrogatepass"), said), str)


async def _is_open() -> bool:
    return True


@fuzzed(60)
@given(st.lists(dirty(st.sampled_from(["wait=5", 'respond-async, wait="7"', "wait = 99999999999"])), max_size=3))
def test_prefer(said: list[str]) -> None:
    wait = prefer.preferred_wait(request([("prefer", text) for text in said]))
    assert wait is None or 0 <= wait <= prefer.LONGEST


class _Record(msgspec.Struct):
    version: int = 5


class _Service:
    async def get(self, *_: object) -> _Record:
        return _Record()


class _Call(msgspec.Struct):
    request: Any
    service: _Service = _Service()
    principal: None = None


@fuzzed(80)
@given(
    st.lists(dirty(st.sampled_from(['"5-native"', 'W/"5-native", "7-native-a=b"', "*", '"5-native" , ,'])), max_size=2)
)
async def test_if_match_and_if_none_match(said: list[str]) -> None:
    asked = request([(name, text) for text in said for name in ("if-match", "if-none-match")])
    assert etag.is_unchanged(asked, '"5-native"') in (True, False)
    try:
        version = await etag.expected_version(_Call(asked), "native", "id")  # type: ignore[arg-type]
    except ServiceError as error:
        assert not isinstance(error, Invalid) or error.faults[0].parameter == "If-Match"
    else:
        assert version is None or version >= -1
    tag = etag.etag(5, "native")
    assert etag.is_unchanged(request([("if-none-match", tag)]), tag)


@fuzzed(80)
@given(
    dirty(st.sampled_from(["bytes=0-4", "bytes=-5", "bytes=5-", "bytes=1-2,3-4", "bytes = 9 - 1"])), st.integers(0, 20)
)
def test_ranges(said: str, size: int) -> None:
    try:
        found = files._range(request([("range", said)]), '"tag"', size)
    except ServiceError as error:
        assert error.code == "range-not-satisfiable"
    else:
        assert found is None or 0 <= found[0] < found[1] <= size


@fuzzed(60)
@given(dirty(st.integers(0, 10**19).map(str)))
def test_last_event_ids(said: str) -> None:
    try:
        seen = events.last_event_id(request([("last-event-id", said)]))
    except Invalid as error:
        assert error.faults[0].parameter == "Last-Event-ID"
    else:
        assert seen is None or 0 <= seen < 10**18


@fuzzed(60)
@given(st.lists(dirty(st.sampled_from(["key", "a" * 255])), max_size=2))
def test_idempotency_keys(said: list[str]) -> None:
    try:
        key = _idempotency_key(request([("idempotency-key", text) for text in said]))
    except Invalid as error:
        assert error.faults[0].parameter == "Idempotency-Key"
    else:
        assert key is None or (key.isascii() and key.isprintable() and 0 < len(key) <= 255)


@fuzzed(80)
@given(
    dirty(
        st.sampled_from(["application/json", 'Application/JSON; charset="UTF-8"', "application/json;charset=utf-16"])
    ),
    dirty(st.sampled_from(["gzip", "identity", ""])),
    dirty(st.integers(0, 10**20).map(str)),
)
def test_what_a_body_is(kind: str, coding: str, length: str) -> None:
    asked = request([("content-type", kind), ("content-encoding", coding), ("content-length", length)])
    checks: Sequence[Callable[[], None]] = (
        lambda: check_media_type(asked, ["application/json"]),
        lambda: check_coding(asked, "body"),
        lambda: check_length(asked, "body", 1000),
    )
    for check in checks:
        try:
            check()
        except UnsupportedMediaType as error:
            assert len(error.detail) < 300
        except TooLarge:
            assert not (length.isascii() and length.isdecimal() and int(length[:20]) <= 1000)
    assert is_without_body(asked) is False


@fuzzed(80)
@given(
    dirty(
        st.sampled_from(
            ["attachment; filename=a.txt", "attachment; filename*=UTF-8''%e2%82%ac.txt", 'form-data; filename="a\\"b"'],
        )
        | st.sampled_from(["attachment; filename*0*=utf-8''a; filename*1=b", "a; filename*=x''b", "; ;=;filename*5*="])
    )
)
def test_content_dispositions(said: str) -> None:
    as_read = said.encode("utf-8", "surrogatepass").decode("latin-1")
    try:
        name = disposed_name(as_read)
    except Invalid as error:
        assert error.faults[0].parameter == "Content-Disposition"
    else:
        assert name is None or len(name) <= LONGEST_DISPOSITION


FORWARDED = st.sampled_from(
    [
        *('for=1.2.3.4;proto=https;host="a.example:8"', "for=10.0.0.1, for=unknown", 'for="[::1]:5"', "host=a", ","),
        *("1.2.3.4, 10.0.0.1", "https", "evil.example", "/prefix", "/a/../b", "[::1]:80", "1.2.3.4:80", "for=x;for=y"),
    ]
)
FORWARDING_HEADERS = st.sampled_from(
    ["forwarded", "x-forwarded-for", "x-forwarded-proto", "x-forwarded-host", "x-forwarded-prefix", "x-forwarded-port"]
)


@fuzzed(100)
@given(st.lists(st.tuples(FORWARDING_HEADERS, dirty(FORWARDED)), max_size=4), st.booleans())
def test_what_proxies_say(headers: Headers, is_public: bool) -> None:
    forwarding = Forwarding(["10.0.0.0/8", "::1"], "https://public.example/x" if is_public else None)
    scope = {**request(headers).scope, "client": ("10.0.0.1", 5)}
    error = forwarding(scope)
    if error is not None:
        assert isinstance(error, Malformed)
        assert error.facts["errors"][0].parameter is not None
        assert error.facts["errors"][0].parameter.lower().startswith(("forwarded", "x-forwarded-"))
        return
    assert scope.get(VOUCHED) in (None, True, False)
    assert (PUBLIC in scope) is is_public
    assert "//" not in scope.get("root_path", "")
    assert ".." not in scope.get("root_path", "")
    assert str(Request(scope).url), "what is made of it can be written"


@fuzzed(80)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(
                ["authorization", "cookie", "x-spaaza-session-key", "x-spaaza-session-user-id", "x-api-key"]
            ),
            dirty(st.sampled_from(["Bearer mp_0_1", "bearer", "Basic OjpA", "mvpat-x", "Bearer a:b", "mp_1_2"])),
        ),
        max_size=3,
    ),
    blobs,
)
def test_credentials(headers: Headers, query: bytes) -> None:
    asked = request(headers, query_string=query)
    for dialect in (*dialects(), credentials):
        read = getattr(dialect, "credentials", None) or credentials.raw_or_bearer
        try:
            said = read(asked)
        except Malformed as error:  # two keys, or one that is shown twice
            assert error.facts["errors"][0].parameter.startswith("X-Spaaza-Session-")
            continue
        assert said is None or said
    try:
        check_single(asked)
    except Malformed as error:
        assert error.facts["errors"][0].parameter == "Authorization"


@fuzzed(60)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(["host", "origin", "sec-fetch-site", "sec-fetch-mode", "content-type"]),
            dirty(st.sampled_from(["localhost:8006", "[::1]:1", "http://evil", "cross-site", "null", "text/plain"])),
        ),
        max_size=4,
    ),
    dirty(st.sampled_from(["127.0.0.1", "::1", "::ffff:127.0.0.1", "fe80::1%lo"])),
)
async def test_who_may_call_without_a_key(headers: Headers, client: str) -> None:
    asked = request(headers, client=(client, 5))
    (operation, *_) = Site(dialects(), open_mode=_is_open).operations()
    try:
        assert (await OpenMode()(asked, operation, None)).name
    except ServiceError as error:
        assert len(error.detail) < 300
    assert is_loopback(client) in (True, False)
    assert isinstance(network(client), str)


def _shapes() -> list[type[msgspec.Struct]]:
    return sorted(
        {op.query for dialect in dialects() for op in dialect.operations()}, key=lambda kind: kind.__qualname__
    )


@pytest.mark.parametrize("shape", _shapes())
@fuzzed(20)
@given(data=st.data())
def test_queries(shape: type[msgspec.Struct], data: st.DataObject) -> None:

    names = st.sampled_from([*names_of(shape), "after"]) | texts
    right = shaped(shape).map(lambda said: said if isinstance(said, dict) else {})
    pairs = data.draw(st.lists(st.tuples(names, texts), max_size=4) | right.map(lambda said: list(said.items())))
    query = data.draw(st.just(urlencode(pairs, errors="surrogatepass").encode()) | blobs)
    try:
        read = QueryReader(shape).read(query)
    except Invalid as error:
        assert all(fault.parameter is not None for fault in error.faults)
    except Malformed:
        pass
    else:
        assert isinstance(read, shape)


TABLE = Table(dialects(), otherwise=Site(dialects(), open_mode=_is_open))
PATHS = st.sampled_from(
    [op.path for dialect in dialects() for op in dialect.operations()] + ["/v1/tasks/a%2fb", "//", "/v1/./tasks", "/%"]
)


@fuzzed(100)
@given(
    dirty(PATHS),
    st.sampled_from(["GET", "HEAD", "POST", "BREW"]),
    st.sampled_from(["", "/mounted", "/a/"]),
    st.booleans(),
)
def test_paths(path: str, method: str, root: str, is_raw: bool) -> None:
    raw = path.encode("utf-8", "surrogatepass")
    scope: Mapping[str, Any] = {"path": path, "root_path": root} | ({"raw_path": raw} if is_raw else {})
    try:
        _, parameters = TABLE.find(method, scope)  # type: ignore[arg-type]
    except Unrouted as unrouted:
        assert unrouted.error.detail
    else:
        assert all(parameters.values())
