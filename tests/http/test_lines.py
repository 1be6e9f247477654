import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.requests import ClientDisconnect, Request

from milepost.access.limits import Limits
from milepost.errors import Invalid, Malformed, ServiceError, TooLarge
from milepost.http.errors import UnsupportedMediaType
from milepost.http.lines import NDJSON, TURN, Line, LineReader, Lines
from milepost.http.patience import STEP


class Shape(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    n: int


READER = LineReader(Shape, (NDJSON,), Limits(body=20))
NEVER = asyncio.Event()


async def messages(pieces: Sequence[bytes], *, leaves: bool) -> AsyncIterator[Any]:
    for index, piece in enumerate(pieces):
        yield {"type": "http.request", "body": piece, "more_body": leaves or index + 1 < len(pieces)}
    if leaves:
        yield {"type": "http.disconnect"}


async def lines(*pieces: bytes, leaves: bool = False, content_type: str = NDJSON) -> Lines[Shape]:
    source: AsyncIterator[Any] = messages(pieces, leaves=leaves)
    request = Request({"type": "http", "headers": [(b"content-type", content_type.encode())]}, source.__anext__)
    return await READER.read(request)


async def read(*pieces: bytes, most: int = 100) -> list[Line[Shape]]:
    return [line async for bunch in (await lines(*pieces)).bunches(most, NEVER) for line in bunch]


def told(found: Sequence[Line[Shape]]) -> list[tuple[int, Any]]:
    return [(line.number, type(line.body) if isinstance(line.body, ServiceError) else line.body) for line in found]


async def test_each_line_becomes_a_struct() -> None:
    assert told(await read(b'{"n": 1}\n{"n"', b": 2}\r\n", b"", b'{"n": 3}\n')) == [
        (1, Shape(1)),
        (2, Shape(2)),
        (3, Shape(3)),
    ]


async def test_the_last_line_needs_no_end_and_empty_ones_only_count() -> None:
    assert told(await read(b'\n  \n{"n": 1}\n\r\n\n{"n": 2}')) == [(3, Shape(1)), (6, Shape(2))]
    assert await read(b"") == []
    assert await read(b"\n\n") == []


async def test_another_charset_is_not_taken_for_utf_8() -> None:
    assert not (await lines(b"", content_type=f"{NDJSON};charset=utf-8")).ended
    with pytest.raises(UnsupportedMediaType, match="UTF-8, not with the charset 'latin-1'"):
        await lines(b'{"n": 1}', content_type=f"{NDJSON};charset=latin-1")


async def test_a_line_that_is_wrong_is_wrong_alone() -> None:
    found = await read(b'{"n": "x"}\n{"n": 1}\n{"n"\n{"n": 2}\n{"m": 3}\n\xff\n{"n": 4}\n')
    assert told(found) == [
        *((1, Invalid), (2, Shape(1)), (3, Malformed), (4, Shape(2)), (5, Invalid), (6, Malformed), (7, Shape(4))),
    ]
    assert isinstance(found[0].body, Invalid)
    assert found[0].body.faults[0].pointer == "/n"
    said = [str(line.body) for line in found if isinstance(line.body, Malformed)]
    assert [text.partition(". ")[0] for text in said] == ["The line is not JSON", "The line is not JSON"]


@pytest.mark.parametrize("pieces", [(b"x" * 21,), (b"x" * 15, b"x" * 15), (b"x" * 12, b"x" * 12, b"x" * 500)])
async def test_a_line_that_is_too_long_is_not_kept(pieces: tuple[bytes, ...]) -> None:
    found = await read(b'{"n": 1}\n', *pieces, b'x\n{"n": 2}\n', *pieces)
    assert told(found) == [(1, Shape(1)), (2, TooLarge), (3, Shape(2)), (4, TooLarge)]
    exact = b'{"n": 12345678901  }'
    assert len(exact) == 20
    assert told(await read(exact)) == [(1, Shape(12345678901))]


@given(st.lists(st.sampled_from([b'{"n": 1}', b"", b"nonsense", b"x" * 30, b'{"n": 22}']), max_size=8), st.data())
async def test_where_the_pieces_end_does_not_matter(texts: list[bytes], data: st.DataObject) -> None:
    body = b"\n".join(texts)
    ends = sorted(data.draw(st.lists(st.integers(0, len(body)), max_size=6)))
    pieces = [body[a:b] for a, b in zip([0, *ends], [*ends, len(body)], strict=True)]
    assert told(await read(*pieces)) == told(await read(body))


async def test_bunches_have_no_more_lines_than_are_wanted_and_wait_for_none() -> None:
    coming = await lines(b'{"n": 1}\n' * 5, b'{"n": 2}\n{"n"', b": 3}\n\n")
    sizes = [[line.number for line in bunch] async for bunch in coming.bunches(2, NEVER)]
    assert sizes == [[1, 2], [3, 4], [5], [6], [7]]
    assert (coming.number, coming.ended) == (8, True)


@pytest.mark.parametrize("line", [b"\n", b"x\n", b"[]\n", b'{"n": 1}\n', b"x" * 30 + b"\n"])
async def test_others_have_their_turn_within_a_piece_of_very_many_lines(line: bytes) -> None:
    turns = 0

    async def other() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    beside = asyncio.ensure_future(other())
    await read(line * 5000, most=100)
    beside.cancel()
    assert turns >= 5000 // TURN


async def test_what_a_client_that_leaves_left_unfinished_is_no_line() -> None:
    coming = await lines(b'{"n": 1}\n{"n": 2}', leaves=True)
    bunches = coming.bunches(100, NEVER)
    assert told(await anext(bunches)) == [(1, Shape(1))]
    with pytest.raises(ClientDisconnect):
        await anext(bunches)
    assert not coming.ended


async def test_it_ends_when_the_server_stops() -> None:
    stopping, silent = asyncio.Event(), asyncio.Event()

    async def receive() -> Any:
        if not silent.is_set():
            silent.set()
            return {"type": "http.request", "body": b'{"n": 1}\n{"n"', "more_body": True}
        stopping.set()
        return await asyncio.get_running_loop().create_future()

    coming: Lines[Shape] = await READER.read(
        Request({"type": "http", "headers": [(b"content-type", NDJSON.encode())]}, receive)
    )
    assert [told(bunch) async for bunch in coming.bunches(100, stopping)] == [[(1, Shape(1))]]
    assert (coming.number, coming.ended) == (1, False)
    assert [bunch async for bunch in coming.bunches(100, stopping)] == []


@pytest.mark.parametrize("coding", ["gzip", "identity, br", ""])
async def test_lines_that_are_coded_are_not_taken(coding: str) -> None:
    headers = [(b"content-type", NDJSON.encode()), (b"content-encoding", coding.encode())]
    with pytest.raises(UnsupportedMediaType, match="Content-Encoding") as caught:
        await READER.read(Request({"type": "http", "headers": headers}))
    assert caught.value.accepted == (NDJSON,)


@pytest.mark.parametrize("content_type", ["application/json", "text/plain", ""])
async def test_another_media_type_is_not_taken(content_type: str) -> None:
    with pytest.raises(UnsupportedMediaType) as caught:
        await lines(b"{}", content_type=content_type)
    assert caught.value.accepted == (NDJSON,)


@pytest.mark.parametrize("beginning", [b"x", b"x" * 30])
async def test_a_line_that_comes_byte_by_byte_is_too_slow(beginning: bytes) -> None:
    """The second is too long by now, and not kept."""
    sent = [b'{"n": 1}\n', beginning]

    async def trickle() -> Any:
        await asyncio.sleep(0 if sent else 0.001)
        return {"type": "http.request", "body": sent.pop(0) if sent else b"x", "more_body": True}

    reader = LineReader(Shape, (NDJSON,), Limits(body=10_000 if len(beginning) == 1 else 20, patience=1))
    coming: Lines[Shape] = await reader.read(
        Request({"type": "http", "headers": [(b"content-type", NDJSON.encode())]}, trickle)
    )
    assert [told(bunch) async for bunch in coming.bunches(100, asyncio.Event())] == [[(1, Shape(1))]]
    assert (coming.number, coming.ended, coming.is_too_slow) == (1, False, True)


async def test_a_line_may_take_as_long_for_each_step() -> None:
    """And each line begins anew."""
    sent = [b"x", b"x" * STEP, b"x", b'\n{"n"', b": 1}\n"]
    seconds: list[float] = []

    async def receive() -> Any:
        await asyncio.sleep(0.001)
        seconds.append(coming._allowance.seconds)
        return {"type": "http.request", "body": sent.pop(0), "more_body": bool(sent)}

    coming: Lines[Shape] = await READER.read(
        Request({"type": "http", "headers": [(b"content-type", NDJSON.encode())]}, receive)
    )
    found = [line for bunch in [bunch async for bunch in coming.bunches(100, asyncio.Event())] for line in bunch]
    assert told(found) == [(1, TooLarge), (2, Shape(1))]
    assert seconds == [60, 60, 60, pytest.approx(60, abs=30), 60]
    assert seconds[3] < 60
