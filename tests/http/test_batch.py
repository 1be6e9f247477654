import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Any

import msgspec
import pytest
from starlette.requests import Request

from milepost.access.principal import LOCAL
from milepost.errors import Fault, Invalid, ServiceError, Unauthenticated, Unavailable
from milepost.http.batch import Outcome, start_lines
from milepost.http.dialect import Call, NoQuery
from milepost.http.errors import Internal
from milepost.http.lines import NDJSON, LineReader, Lines
from milepost.http.stopping import Stopping
from milepost.service import MANY, Created, Service, Wish
from milepost.start import Start
from milepost.store.protocol import Filter
from milepost.store.refusals import StoreBusy

from .conftest import SHARE, admitted

HEADERS = [(b"content-type", NDJSON.encode())]


class Export(msgspec.Struct):
    rows: Any = 1


def read(line: Export) -> Wish:
    if line.rows == 13:
        raise Invalid(Fault("Not thirteen.", "/rows"))
    return Wish(Start(type="export", input={"rows": line.rows}))


async def call(
    service: Service,
    *pieces: bytes,
    silent: bool = False,
    still: Callable[[Request], Awaitable[None]] = admitted,
) -> Call[NoQuery, Lines[Export]]:
    """A request with a body of these pieces; `silent`: nothing comes after them until the server stops.

    `still` says whether the caller is let in still.
    """
    stopping = Stopping()

    async def messages() -> AsyncIterator[Any]:
        for index, piece in enumerate(pieces):
            yield {"type": "http.request", "body": piece, "more_body": silent or index + 1 < len(pieces)}
        stopping.set()
        await asyncio.get_running_loop().create_future()

    source: AsyncIterator[Any] = messages()
    request = Request({"type": "http", "headers": HEADERS}, source.__anext__)
    lines = await LineReader(Export, (NDJSON,)).read(request)
    return Call(request, service, LOCAL, {}, NoQuery(), lines, stopping, SHARE, still)


async def outcomes(call: Call[NoQuery, Lines[Export]]) -> list[Outcome]:
    return [outcome async for bunch in start_lines(call, read, origin="native") for outcome in bunch]


def told(found: Sequence[Outcome]) -> list[tuple[int, type]]:
    return [(line, type(made)) for line, made in found]


async def count(service: Service) -> int:
    return sum(tally.tasks for tally in await service.tally(LOCAL))


async def test_each_line_has_its_outcome_in_order(service: Service) -> None:
    body = b'{"rows": 1}\n{"rows": 13}\nnonsense\n\n{"rows": "x"}\n{"rows": 2}\n'
    found = await outcomes(await call(service, body))
    assert [line for line, _ in found] == [1, 2, 3, 5, 6]
    made = [outcome.made.task.id for outcome in found if isinstance(outcome.made, Created)]
    refused = [outcome.made for outcome in found if isinstance(outcome.made, ServiceError)]
    assert [error.code for error in refused] == ["invalid-request", "malformed-request", "invalid-request"]
    assert isinstance(refused[2], Invalid)
    assert refused[2].faults[0].pointer == "/input/rows"
    page = await service.find(LOCAL, Filter())
    assert [task.id for task in reversed(page.tasks)] == made
    assert len(made) == 2


async def test_very_many_lines_are_many_calls_of_the_store(service: Service) -> None:
    sizes: list[int] = []
    create = service.store.create

    async def counted(items: Any, **now: int) -> Any:
        sizes.append(len(items))
        return await create(items, **now)

    service.store.create = counted  # type: ignore[method-assign]
    found = await outcomes(await call(service, b'{"rows": 1}\n' * (2 * MANY + 1)))
    assert sizes == [MANY, MANY, 1]
    assert [line for line, _ in found] == list(range(1, 2 * MANY + 2))
    assert await count(service) == 2 * MANY + 1


async def test_a_server_that_stops_says_from_which_line_on_nothing_was_done(service: Service) -> None:
    found = await outcomes(await call(service, b'{"rows": 1}\n\n{"rows"', silent=True))
    assert told(found) == [(1, Created), (3, Unavailable)]
    assert await count(service) == 1


@pytest.mark.parametrize(("error", "refusal"), [(StoreBusy(), Unavailable), (LookupError("secret"), Internal)])
async def test_an_error_of_the_store_is_the_outcome_of_the_lines_that_it_meets(
    service: Service, error: Exception, refusal: type, caplog: pytest.LogCaptureFixture
) -> None:
    create = service.store.create
    calls = 0

    async def fails_once(items: Any, **now: int) -> Any:
        nonlocal calls
        calls += 1
        if calls == 1:
            raise error
        return await create(items, **now)

    service.store.create = fails_once  # type: ignore[method-assign]
    found = await outcomes(await call(service, b'{"rows": 1}\nnonsense\n{"rows": 2}\n', b'{"rows": 3}'))
    assert [made for _, made in told(found)][0::2] == [refusal, refusal]
    assert told(found)[3] == (4, Created)
    assert await count(service) == 1
    assert ("Lines 1 to 3" in caplog.text) is (refusal is Internal)
    assert "secret" not in str(found)


async def test_lines_of_who_is_not_let_in_any_more_are_not_heeded(service: Service) -> None:
    asked = 0

    async def once(request: Request) -> None:
        nonlocal asked
        asked += 1
        if asked > 1:
            raise Unauthenticated("Not any more.")

    found = await outcomes(
        await call(service, b'{"rows": 1}\n{"rows": 2}\n', b'{"rows": 3}\n', b'{"rows": 4}', still=once)
    )
    assert told(found) == [(1, Created), (2, Created), (3, Unauthenticated)]
    assert await count(service) == 2
