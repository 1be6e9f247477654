from datetime import UTC, datetime, timedelta, timezone
from email.utils import format_datetime

import httpx2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from milepost.client.retries import BASE, DAY, LONGEST, Repeat, pause, retry_after, share

NOW = datetime(2024, 1, 15, 10, 30, tzinfo=UTC)


def asked(**headers: str) -> float | None:
    return retry_after(
        httpx2.Headers({name.replace("_", "-"): value for name, value in headers.items()}), NOW.timestamp()
    )


ERRORS = (
    (httpx2.ConnectError("refused"), {Repeat.IDEMPOTENT, Repeat.NOT_BEGUN, Repeat.NOT_SENT}),
    (httpx2.ConnectTimeout("slow"), {Repeat.IDEMPOTENT, Repeat.NOT_BEGUN, Repeat.NOT_SENT}),
    (httpx2.PoolTimeout("slow"), {Repeat.IDEMPOTENT, Repeat.NOT_BEGUN, Repeat.NOT_SENT}),
    (httpx2.ReadTimeout("slow"), {Repeat.IDEMPOTENT}),
    (httpx2.WriteTimeout("slow"), {Repeat.IDEMPOTENT}),
    (httpx2.ReadError("reset"), {Repeat.IDEMPOTENT}),
    (httpx2.WriteError("reset"), {Repeat.IDEMPOTENT}),
    (httpx2.RemoteProtocolError("gone"), {Repeat.IDEMPOTENT}),
    (httpx2.LocalProtocolError("bad header"), set[Repeat]()),
    (httpx2.ProxyError("403"), set[Repeat]()),
    (httpx2.UnsupportedProtocol("gopher"), set[Repeat]()),
    (429, {Repeat.IDEMPOTENT, Repeat.NOT_BEGUN}),
    (503, {Repeat.IDEMPOTENT, Repeat.NOT_BEGUN}),
    (502, {Repeat.IDEMPOTENT}),
    (504, {Repeat.IDEMPOTENT}),
    (200, set[Repeat]()),
    (500, set[Repeat]()),
)


@pytest.mark.parametrize(
    ("outcome", "again"), ERRORS, ids=[str(outcome) or type(outcome).__name__ for outcome, _ in ERRORS]
)
def test_after_what_a_request_is_sent_again(outcome: httpx2.TransportError | int, again: set[Repeat]) -> None:
    assert {repeat for repeat in Repeat if repeat.after(outcome)} == again


@given(st.integers(1, 10**9), st.floats(0, 1), st.none() | st.floats(0, 1e9))
def test_pauses_grow_are_random_and_never_shorter_than_asked(tries: int, random: float, asked: float | None) -> None:
    rest = pause(tries, asked, lambda: random)
    assert rest >= (asked or 0)
    assert rest <= max(LONGEST, asked or 0)
    assert pause(tries + 1, asked, lambda: random) >= rest
    assert pause(tries, None, lambda: 0.0) == 0
    assert pause(tries, None, lambda: 1.0) == min(LONGEST, BASE * 2 ** min(tries - 1, 10))


@given(st.integers(0, 10**12))
def test_retry_after_in_seconds(seconds: int) -> None:
    assert asked(retry_after=str(seconds)) == min(seconds, DAY)
    assert asked(retry_after=f" {seconds} ", date=format_datetime(NOW, usegmt=True)) == min(seconds, DAY)


def test_an_absurd_retry_after_is_a_day() -> None:
    assert asked(retry_after="9" * 5000) == DAY


@given(st.integers(-(10**6), 10**6), st.integers(-(10**6), 10**6), st.integers(-12, 12))
def test_retry_after_as_a_date(ahead: int, skew: int, zone: int) -> None:
    """It counts from the server's clock where that is known: a client's may be wrong."""
    sent_at = NOW + timedelta(seconds=skew)
    until = format_datetime(sent_at + timedelta(seconds=ahead), usegmt=True)
    assert asked(retry_after=until, date=format_datetime(sent_at, usegmt=True)) == min(max(0, ahead), DAY)
    elsewhere = (NOW + timedelta(seconds=ahead)).astimezone(timezone(timedelta(hours=zone)))
    assert asked(retry_after=format_datetime(elsewhere)) == min(max(0, ahead), DAY)
    assert asked(retry_after=format_datetime(elsewhere), date="yesterday") == min(max(0, ahead), DAY)


@given(st.text(st.characters(codec="ascii")))
def test_retry_after_may_be_anything(said: str) -> None:
    seconds = asked(retry_after=said)
    assert seconds is None or 0 <= seconds <= DAY


@pytest.mark.parametrize(
    "said", ["", "soon", "-1", "1.5", "²", "Mon, 99 Foo 2024 10:30:00 GMT", "Mon, 15 Jan 99999999999 10:30:00 GMT"]
)
def test_retry_after_that_is_not_clear(said: str) -> None:
    assert retry_after(httpx2.Headers([(b"retry-after", said.encode("latin-1"))]), NOW.timestamp()) is None
    assert retry_after(httpx2.Headers(), 0.0) is None


def test_a_date_without_a_zone_is_in_utc() -> None:
    assert asked(retry_after="Mon, 15 Jan 2024 10:30:07 -0000") == 7


@given(st.floats(0.001, 1e6), st.integers(0, 10))
def test_tries_share_the_time_that_is_left(left: float, tries: int) -> None:
    spent = 0.0
    for tries_left in range(tries, -1, -1):
        assert 0 < share(left - spent, tries_left) <= left - spent
        spent += share(left - spent, tries_left)
    assert spent == pytest.approx(left)
