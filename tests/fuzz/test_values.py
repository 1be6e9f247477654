"""Times, durations, triggers, names, ids, marks and links: is each read, or refused in its own words?"""

import re
from contextlib import suppress
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from milepost import times, trigger
from milepost.access import keyring, limits
from milepost.access.bound import bound
from milepost.access.links import Linked, Links
from milepost.access.principal import Principal
from milepost.access.tokens import Tokens
from milepost.app import _path
from milepost.engine.fields import LONGEST_FIELDS, kept
from milepost.engine.outbound import _retry_after
from milepost.engine.reach import Reach, networks
from milepost.errors import Invalid
from milepost.file_name import LONGEST, cleaned, media_type
from milepost.http.dialects.aparavi_pipelines import local
from milepost.http.dialects.metavault import _mapped, _typed
from milepost.http.faults import field_name
from milepost.http.fields import Duration, Time, Whole
from milepost.http.files import content_disposition
from milepost.http.forwarded import Forwarding, parse_public_url
from milepost.http.redaction import Redaction
from milepost.sealing import Sealing, Unsealable, secret_names
from milepost.start import Start
from milepost.store.refusals import BadCursor
from milepost.store.sqlite.cursor import Cursors
from milepost.task import parse_id
from milepost.tenant import own_number
from milepost.times import EARLIEST, LATEST, LONGEST_DURATION
from milepost.webhook import MAX_URL, is_url
from milepost.wish import wish
from tests.fuzz.dirt import blobs, decoded, dirty, fuzzed, numbers, texts, utf8, values

moments = st.integers(EARLIEST, LATEST)


@fuzzed(80)
@given(dirty(moments.map(times.to_rfc3339)))
def test_times(text: str) -> None:
    try:
        time = times.from_rfc3339(text)
    except ValueError:
        with pytest.raises(ValueError, match=r"."):
            Time.parse(text)
    else:
        assert times.from_rfc3339(times.to_rfc3339(time)) == time == Time.parse(text)


@fuzzed(80)
@given(dirty(st.integers(0, LONGEST_DURATION).map(times.format_duration)) | st.floats() | numbers)
def test_durations(said: str | float) -> None:
    try:
        duration = times.parse_duration(said)
    except ValueError as error:
        assert len(str(error)) < 300
    else:
        assert 0 <= duration <= LONGEST_DURATION
        assert times.parse_duration(times.format_duration(duration)) == duration


@fuzzed(60)
@given(values)
def test_fields_of_any_value(value: Any) -> None:
    for kind in (Time, Duration, Whole):
        try:
            assert isinstance(kind.parse(value), int)
        except ValueError as error:
            assert len(str(error)) < 300


_CRON = st.lists(
    st.sampled_from(["*", "*/5", "1-5", "L", "5#3", "MON", "1,2", "0", "59", "31", "*/0", "5-1", "JAN-DEC"]),
    min_size=4,
    max_size=7,
).map(" ".join)
_TRIGGERS = st.fixed_dictionaries(
    {},
    optional={
        "once": dirty(moments.map(times.to_rfc3339)) | values,
        "every": dirty(st.integers(0, LONGEST_DURATION).map(times.format_duration)) | values,
        "repeat": st.sampled_from(["daily", "weekly", "monthly"]) | values,
        "cron": dirty(_CRON) | values,
        "timezone": dirty(st.sampled_from(["UTC", "Europe/Brussels", "localtime", "posixrules", "../UTC"])) | values,
    },
)


@fuzzed(80)
@given(_TRIGGERS, texts, values, moments)
def test_triggers(fields: dict[str, Any], name: str, value: Any, now: int) -> None:
    for said in (fields, {**fields, name: value}):
        try:
            read = trigger.parse(said)
        except ValueError as error:
            assert len(str(error)) < 300
            continue
        assert trigger.parse(trigger.render(read)) == read
        try:
            anchored, due = trigger.first(read, now=now, run_at=None)
        except ValueError as error:
            assert str(error).startswith("run_at: ")
            continue
        following = trigger.following(anchored, due=due, now=due)
        assert following is None or following > due


@fuzzed(25)
@given(dirty(_CRON))
def test_cron_expressions(expression: str) -> None:
    try:
        trigger.Trigger(cron=expression)
    except ValueError as error:
        assert str(error).startswith("cron: ")


@fuzzed(60)
@given(dirty(st.uuids().map(str)))
def test_ids(text: str) -> None:
    read = parse_id(text)
    assert read is None or parse_id(read) == read
    tokens = Tokens(b"secret")
    task_id = tokens.read(text)
    assert (task_id is None) == (read is None)
    assert task_id is None or tokens.make(task_id) == read


@fuzzed(60)
@given(dirty(st.integers(0, 2**34).map(str)))
def test_numbers_of_tenants(text: str) -> None:
    number = own_number(text)
    assert number is None or str(number) == text


CURSORS = Cursors(b"key")


@fuzzed(60)
@given(dirty(st.integers(0, 2**40).map(CURSORS.seal)), st.integers(0, 2**63))
def test_cursors(text: str, place: int) -> None:
    assert CURSORS.open(CURSORS.seal(place)) == place
    with suppress(BadCursor):
        assert CURSORS.open(text) >= 0


LINKS = Links(b"secret")


@fuzzed(60)
@given(dirty(st.builds(lambda run: LINKS.make(Linked("id", run), now=0), st.integers(0, 9))).map(decoded))
def test_links(text: str) -> None:
    found = LINKS.read(text, now=0)
    assert found is None or (found.task_id, LINKS.read(LINKS.make(found, now=0), now=0)) == ("id", found)
    assert LINKS.read(text, now=10**6) is None


@fuzzed(60)
@given(dirty(st.sampled_from(["acme:user", "*:service", "a:b:admin", ":user", "*:admin"])))
def test_grants(text: str) -> None:
    why = keyring.wrong_grant(text)
    if why is None:
        tenant, role = keyring.parse_grant(text)
        assert f"{tenant}:{role}" == text
        assert keyring.is_name(tenant)
    else:
        assert len(why) < 300


@fuzzed(40)
@given(dirty(st.just(f"mp_{'0a' * 8}_{'f0' * 32}")))
def test_keys(text: str) -> None:
    key = keyring.key_id(text)
    assert key == text or re.fullmatch("[0-9a-f]{16}", key)


@fuzzed(40)
@given(dirty(st.sampled_from(["coins@wallets", "a@b@c", "local@x", "a@*"])))
def test_bound_callers(text: str) -> None:
    try:
        found = bound(text)
    except ValueError as error:
        assert len(str(error)) < 300
    else:
        assert isinstance(found, Principal)
        assert f"{found.name}@{found.home}" == text


@fuzzed(60)
@given(st.lists(dirty(st.sampled_from(["body=2MiB", "wait=30", "log-lines=5", "result_file=1 TiB", "depth=0"]))))
def test_limits(settings: list[str]) -> None:
    try:
        assert isinstance(limits.parse(settings), limits.Limits)
    except ValueError as error:
        assert len(str(error)) < 500


SEALING = Sealing("A" * 43 + "=")


@fuzzed(40)
@given(st.dictionaries(utf8, utf8 | st.integers(-5, 5), max_size=3), utf8, blobs, st.integers(0, 60))
def test_what_is_sealed(secret: dict[str, Any], task_id: str, junk: bytes, at: int) -> None:
    sealed = SEALING.seal(secret, task_id)
    assert SEALING.open(sealed, task_id) == secret
    for broken in (junk, sealed[:at], sealed[:at] + junk + sealed[at:]):
        try:
            assert SEALING.open(broken, task_id) == secret
            assert broken == sealed
        except Unsealable:
            assert broken != sealed


@fuzzed(60)
@given(dirty(st.sampled_from(["A" * 43 + "=", ("A" * 43 + "=, ") * 2, "-_" * 21 + "A="])))
def test_keys_to_seal_with(text: str) -> None:
    try:
        Sealing(text)
    except ValueError as error:
        assert "Base64" in str(error)
        assert len(str(error)) < 300, "without the key"


@fuzzed(60)
@given(values)
def test_schemas_with_secrets(part: Any) -> None:
    for schema in ({"properties": {"a": part}}, {"properties": {"a": {"$ref": "#/$defs/b"}}, "$defs": {"b": part}}):
        assert secret_names(schema) <= {"a"}


@fuzzed(80)
@given(dirty(st.sampled_from(["https://example.com/a?b=c", "http://[::1]:80/", "http://a:99999/", "http://u:p@h/"])))
def test_urls_of_callbacks(text: str) -> None:
    if is_url(text):
        assert len(text) <= MAX_URL
        assert text.isascii()
        assert text.isprintable()
        assert "@" not in text.split("/")[2]


@fuzzed(60)
@given(st.lists(dirty(st.sampled_from(["10.0.0.0/8", "::1", "fd00::/8", "1.2.3.4/33", "10.0.0.1/8"])), max_size=2))
def test_networks(texts: list[str]) -> None:
    try:
        found = networks(texts)
    except ValueError as error:
        assert len(str(error)) < 200
    else:
        assert len(found) == len(texts)
        Reach(found)
    try:
        Forwarding(texts)
    except ValueError as error:
        assert len(str(error)) < 500


@fuzzed(60)
@given(st.ip_addresses(v=4) | st.ip_addresses(v=6))
def test_addresses_within_reach(address: Any) -> None:
    assert Reach().has(str(address)) in (True, False)
    assert not (address.is_loopback and Reach().has(str(address)))


@fuzzed(60)
@given(dirty(st.sampled_from(["https://tasks.example.com", "http://[::1]:8006/a/b", "https://h:99999", "http://h/.."])))
def test_public_urls(text: str) -> None:
    try:
        url = parse_public_url(text)
    except ValueError as error:
        assert len(str(error)) < 400
    else:
        assert parse_public_url(url.origin + url.path) == url


@fuzzed(60)
@given(dirty(st.sampled_from(["report.csv", "../../etc/passwd", "C:\\a\\b.txt", "a" * 300, "aux.txt"])))
def test_names_of_files(said: str) -> None:
    name = cleaned(said, "unnamed")
    assert name.isprintable()
    assert 0 < len(name.encode()) <= LONGEST
    assert name not in (".", "..")
    assert not set(name) & set("/\\\0")
    assert cleaned(name, "unnamed") == name


@fuzzed(60)
@given(dirty(st.sampled_from(["text/csv", 'text/html; charset="utf-8"', "a/b;c=d\nX: y"])))
def test_media_types(said: str) -> None:
    found = media_type(said)
    assert found in (said, "application/octet-stream")
    assert found.isascii()
    assert found.replace("\t", " ").isprintable()
    assert found.count("/") >= 1


@fuzzed(60)
@given(dirty(st.sampled_from(["report.csv", "../a", 'a"b', "a%20b", "…"])))
def test_names_in_headers(name: str) -> None:
    header = content_disposition(name)
    assert header.isascii()
    assert header.isprintable()
    assert "/" not in header
    assert "\\" not in header


@fuzzed(60)
@given(dirty(st.sampled_from(["POST /api/a/{b}", "PUT /api/{a}/{a}", "GET /api/x"])), texts)
def test_calls_of_metavault(call: str, kind: str) -> None:
    for name in (kind, "export"):
        try:
            mapped = _mapped(call, name)
        except ValueError as error:
            assert str(error).startswith("calls: ")
        else:
            assert f"{mapped.method} {mapped.path}" == call


@fuzzed(60)
@given(st.sampled_from(["integer", "number", "boolean", "string"]), texts | dirty(st.floats().map(str)))
def test_arguments_in_paths(kind: str, text: str) -> None:
    (value,) = _typed({"a": text}, {"properties": {"a": {"type": kind}}}).values()
    assert value == text or (kind != "string" and isinstance(value, int | float))


@fuzzed(40)
@given(dirty(st.sampled_from(["/data/a", "/data", "/", "/database"])), st.dictionaries(texts, texts, max_size=2))
def test_paths_of_aparavi(path: str, paths: dict[str, str]) -> None:
    assert local(path, {}) == path
    assert isinstance(local(path, {"/data": "here", **paths}), str)


@fuzzed(60)
@given(texts)
def test_places_in_bodies(place: str) -> None:
    assert isinstance(field_name(place), str)
    assert isinstance(field_name(f"/{place}/0/{place}"), str)


@fuzzed(60)
@given(st.binary(max_size=12) | st.sampled_from([b"5", b"9" * 400, b"\xb2", b" 7 ", b"-1", b"1.5"]))
def test_waits_that_receivers_of_callbacks_ask_for(said: bytes) -> None:
    wait = _retry_after([(b"retry-after", said)])
    assert wait is None or 0 <= wait <= times.DAY


@fuzzed(60)
@given(texts, texts)
def test_urls_in_the_log(path: str, query: str) -> None:
    redaction = Redaction(["token"], ["/results/"])
    assert isinstance(redaction.redacted(path), str)
    path = path.replace("?", "")
    assert "s3cr3t" not in redaction.redacted(f"{path}?{query}&token=s3cr3t&{query}")
    assert "s3cr3t" not in redaction.redacted(f"/results/s3cr3t{path}?{query}")


@fuzzed(40)
@given(st.dictionaries(texts, values, max_size=4))
def test_fields_of_log_lines(said: dict[str, Any]) -> None:
    fields = kept(said)
    assert len(msgspec.json.encode(fields)) <= 2 * LONGEST_FIELDS + 2000


@fuzzed(40)
@given(texts)
def test_stores(text: str) -> None:
    try:
        assert "\0" not in str(_path(text))
    except ValueError as error:
        assert len(str(error)) < 300


_NAMES = [*Start.__struct_fields__, "idempotency_key"]


@fuzzed(60)
@given(st.dictionaries(st.sampled_from(_NAMES) | texts, values, max_size=4))
def test_wishes_in_python(said: dict[str, Any]) -> None:
    try:
        wish({"type": "export", **said})
    except Invalid as error:
        assert all(fault.pointer for fault in error.faults)
    except ValueError as error:
        assert str(error).startswith("timeout: ")
    except TypeError:
        assert set(said) - set(_NAMES), said
