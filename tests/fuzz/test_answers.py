"""What servers answer, and what is typed: do the clients and the command line tell of it, whatever it is?"""

from collections.abc import Callable, Iterator
from typing import Any

import httpx2
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from milepost import Milepost
from milepost.cli import key, reading, start, tables, terminal, wording
from milepost.cli.arguments import _takes_text, read_input, start_key
from milepost.cli.dialects import choose
from milepost.cli.events import follow
from milepost.cli.exits import CommandError
from milepost.cli.faults import told
from milepost.cli.records import LineOutcome, LogEntry, Problem, Record, TypeList
from milepost.cli.remote import Remote
from milepost.cli.result import Download
from milepost.client import address, retries
from milepost.client.aparavi.errors import AparaviError
from milepost.client.aparavi.methods import GET, START, Reply, answer, has_ended, started
from milepost.client.body import file_body, form_body
from milepost.http.upload import disposed_name
from tests.fuzz.dirt import blobs, dirty, fuzzed, mostly, shaped, texts, utf8, values, written

_MOMENT = mostly(st.sampled_from(["2026-04-17T14:30:02.331384Z", "2026-04-17T14:30:02Z"]))
RECORD = st.fixed_dictionaries(
    {
        **dict.fromkeys(("id", "tenant", "owner", "type"), utf8),
        "state": mostly(st.sampled_from(["running", "failed", "succeeded", "blocked"])),
        "version": mostly(st.integers(1, 9)),
        "created_at": _MOMENT,
        "updated_at": _MOMENT,
    },
    optional={
        **dict.fromkeys(("started_at", "finished_at", "run_at", "next_run_at"), _MOMENT),
        **dict.fromkeys(("title", "message", "blocked_reason"), utf8 | values),
        "progress": mostly(st.floats(0, 1)),
        "counts": mostly(shaped(Record)) | st.just({"done": 5, "total": 10**18, "failed": -1}),
        "blocked_by": mostly(st.lists(utf8, max_size=2)),
        "result": values,
        "result_is_link": st.booleans(),
        "failure": mostly(st.fixed_dictionaries({"code": utf8, "message": utf8})),
    },
)


def is_plain(text: str) -> bool:
    """Whether nothing of it would move a cursor, or turn the direction of text."""
    return terminal.printable(text) == text


@fuzzed(40)
@given(written(RECORD))
def test_records(body: bytes) -> None:
    try:
        record = msgspec.json.decode(body, type=Record)
        shown = [*reading._fields(record).values(), wording.status_line(record), wording.progress(record)]
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):  # told by `run`
        return
    shown += map(terminal.on_one_line, tables.task_row(record))
    assert all(is_plain(text) and "\n" not in text for text in shown)


@fuzzed(40)
@given(written(shaped(LogEntry)), written(shaped(Problem)), written(shaped(LineOutcome)), written(shaped(TypeList)))
def test_entries_problems_outcomes_and_types(entry: bytes, problem: bytes, outcome: bytes, types: bytes) -> None:
    for body, (shape, show) in zip((entry, problem, outcome, types), _SHOWN, strict=True):
        try:
            value = msgspec.json.decode(body, type=shape)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            continue
        assert all(is_plain(text) for text in show(value))


def _of_type(types: TypeList) -> list[str]:
    return [terminal.on_one_line(cell) for each in types.types for cell in tables.type_row(each)]


_SHOWN: list[tuple[Any, Callable[[Any], list[str]]]] = [
    (LogEntry, lambda entry: [wording.log_line(entry)]),
    (Problem, lambda problem: [told(problem)]),
    (LineOutcome, lambda outcome: [told(outcome.problem)] if outcome.problem else []),
    (TypeList, _of_type),
]


@fuzzed(60)
@given(utf8, values)
def test_json_on_a_terminal_is_the_same_json(text: str, value: Any) -> None:
    try:
        body = msgspec.json.encode({text: value})
    except (ValueError, OverflowError):  # of what no server can send
        return
    shown = terminal.visible(body.decode())
    assert is_plain(shown)
    assert msgspec.json.decode(shown) == msgspec.json.decode(body)


@pytest.fixture(scope="module")
def saying() -> Iterator[Callable[..., Remote]]:
    """A command line whose server answers every request with these bytes."""
    remote = Remote("http://127.0.0.1:9")
    remote._client.close()

    def say(body: bytes, status: int = 200, **headers: str) -> Remote:
        raw = [(name.replace("_", "-").encode(), value.encode("utf-8", "replace")) for name, value in headers.items()]
        answering = httpx2.MockTransport(lambda _: httpx2.Response(status, headers=raw, content=body))
        remote._client = httpx2.Client(base_url=remote.url, transport=answering)
        return remote

    yield say
    remote._client.close()


EVENTS = st.sampled_from(
    [b"event: task\n", b"event: log\n", b"data: {}\n", b"\n", b"\r", b"id: 5\n", b":\n", b"data:\xff\n"]
)


@fuzzed(40)
@given(st.lists(EVENTS | blobs | written(RECORD).map(lambda body: b"event: task\ndata: " + body + b"\n\n"), max_size=6))
def test_streams_of_events(saying: Callable[..., Remote], pieces: list[bytes]) -> None:
    class Enough(Exception):
        pass

    def broken() -> None:
        raise Enough

    remote = saying(b"".join(pieces), content_type="text/event-stream")
    try:
        for event in follow(remote, "id", since_version=0, on_broken=broken, sleep=lambda _: None):
            assert isinstance(event.news, Record | LogEntry)
    except (
        Enough,
        msgspec.DecodeError,
        UnicodeDecodeError,
        RecursionError,
    ):  # `run` tells of the others
        pass


@fuzzed(40)
@given(
    dirty(st.sampled_from(['attachment; filename="a.csv"', "attachment; filename*=utf-8''..%2fb", "a; filename*5=b"]))
)
def test_names_of_results(saying: Callable[..., Remote], said: str) -> None:
    download = Download(
        saying(b"x", content_disposition=said.replace("\0", "").replace("\n", "").replace("\r", "")), "i"
    )
    next(download.pieces())
    name = download.name
    assert name not in ("", ".", "..")
    assert "/" not in name
    assert is_plain(name)


@fuzzed(40)
@given(written(values) | written(shaped(Problem)), st.sampled_from([200, 400, 404, 422, 500]))
def test_refusals(saying: Callable[..., Remote], body: bytes, status: int) -> None:
    try:
        saying(body, status).get("/v1/tasks", TypeList)
    except CommandError as error:
        assert is_plain(str(error))


DATES = st.sampled_from(
    ["Wed, 21 Oct 2026 07:28:00 GMT", "5", "0", "Mon, 1 Jan 0001 00:00:00 +2359", "99999999999999999999"]
)


@fuzzed(60)
@given(dirty(DATES), dirty(DATES))
def test_waits_that_servers_ask_for(after: str, date: str) -> None:
    said = [(b"retry-after", after.encode("utf-8", "replace")), (b"date", date.encode("utf-8", "replace"))]
    wait = retries.retry_after(httpx2.Headers(said), 0.0)
    assert wait is None or 0 <= wait <= retries.DAY


_PARTS = st.fixed_dictionaries({}, optional=dict.fromkeys(("token", "type", "message", "code", "details"), values))
REPLIES = st.fixed_dictionaries(
    {}, optional=dict.fromkeys(("status", "data", "error", "message", "detail"), values | _PARTS | st.just("Error"))
)


@fuzzed(60)
@given(written(mostly(REPLIES)), st.sampled_from([200, 202, 401, 404, 500]))
def test_answers_to_aparavi_s_clients(body: bytes, status: int) -> None:
    for method in (GET, START):
        reply = Reply(status, httpx2.Headers(), body)
        try:
            given = answer(method, reply, lambda text: text)
            assert has_ended(given["data"]) in (True, False)
            started(given, reply, lambda text: text)
        except AparaviError as error:
            assert str(error)


@fuzzed(60)
@given(
    dirty(st.sampled_from(["http://localhost:8006/a", "https://u:p@h/", "http://h?q#f", "http://[::1"])), st.booleans()
)
def test_addresses_of_servers(url: str, secret: bool) -> None:
    try:
        base = address.parse_base(url, secret=secret)
    except ValueError as error:
        assert "u:p@" not in str(error)
    else:
        assert base.host


@fuzzed(60)
@given(dirty(st.sampled_from(["mp_0_1", " key", "kéy"])))
def test_keys_to_send(text: str) -> None:
    try:
        address.check_key(text)
    except ValueError as error:
        assert len(text) < 5 or text not in str(error)


@fuzzed(40)
@given(
    texts.map(lambda name: "".join(c for c in name if not "\ud800" <= c <= "\udc7f" and not "\udd00" <= c <= "\udfff"))
)
def test_names_of_files_that_are_sent(name: str) -> None:
    """What one side writes the other side reads."""
    body = file_body((name, b"x"))
    said = body.headers["content-disposition"]
    assert said.isascii()
    assert said.isprintable()
    if name and name.isprintable() and len(said) < 2000:
        assert disposed_name(said) == name
    form = b"".join(part for part in form_body([(name, b"x")], "f").parts if isinstance(part, bytes))
    assert form.count(b"\r\n\r\n") == 1 or b"\r\n\r\n" in name.encode("utf-8", "surrogateescape")


SCHEMAS = st.recursive(
    st.dictionaries(st.sampled_from(["enum", "const", "default", "x"]), st.lists(values, max_size=2), max_size=2)
    | st.fixed_dictionaries({"$ref": st.sampled_from(["#/$defs/a", "#/$defs/b", "#/$defs/", ""]) | texts})
    | st.fixed_dictionaries({"type": texts | st.sampled_from(["string", "integer"]) | st.lists(texts, max_size=2)}),
    lambda inner: st.fixed_dictionaries({"anyOf": st.lists(inner, max_size=2)}),
    max_leaves=4,
)
WORDS = dirty(
    st.sampled_from(["a=1", "a:=1", "b=[", "b:={}", "a=", "=1", ":=1", "a:=" + "[" * 3000, "b=" + "[" * 3000])
)


@fuzzed(60)
@given(st.lists(WORDS, max_size=3), st.none() | dirty(st.sampled_from(['{"a": 1}', "@/nowhere", "[" * 3000])), SCHEMAS)
def test_arguments_of_a_start(words: list[str], given: str | None, part: Any) -> None:
    for schema in ({}, {"properties": {"a": part, "b": {"type": "integer"}}}):
        if given == "-" or "\0" in (given or ""):  # stdin; and what no argument of a process can have
            continue
        try:
            read = read_input(words, given, schema)
        except CommandError as error:
            assert error.code == 2
        except UnicodeEncodeError:  # told by `run`
            pass
        else:
            assert all(isinstance(name, str) for name in read)


@fuzzed(40)
@given(SCHEMAS)
def test_what_a_server_s_schema_says(schema: dict[str, Any]) -> None:
    assert _takes_text(schema, {"$defs": {"a": {}, "b": {"type": ["integer", "null"]}}}) in (True, False)


@fuzzed(40)
@given(dirty(st.sampled_from(["90d", "2027-01-31", "2027-01-31T12:00:00Z", "1h30m"])))
def test_times_that_are_typed(text: str) -> None:
    for read in (lambda: key._expiry(text), lambda: start._time("--at", text), lambda: start_key(text)):
        try:
            assert read()
        except CommandError as error:
            assert error.code == 2


@fuzzed(40)
@given(
    st.lists(dirty(st.sampled_from(["native", "quant", "all"])), max_size=2),
    st.lists(dirty(st.sampled_from(["/data=here", "=", "a=b=c"])), max_size=2),
    st.none() | dirty(st.just("coins@wallets")),
)
def test_dialects_that_are_typed(names: list[str], paths: list[str], caller: str | None) -> None:
    app = Milepost()
    try:
        choose(app, names, None, paths, caller)
    except CommandError as error:
        assert error.code == 2
    else:
        assert app.dialects
