"""When results, records, files and keys go."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from milepost import Context, File
from milepost.access.principal import LOCAL
from milepost.engine import expire
from milepost.engine.expire import Expire, Forget, Sweep
from milepost.errors import Gone, NotFound
from milepost.files.protocol import FileMissing
from milepost.task import FileResult, Task
from milepost.times import DAY, HOUR, MINUTE
from tests.engine.bench import Bench


async def ended(bench: Bench, type: str) -> Task:
    async with bench.working(loops=()):
        return await bench.end(await bench.start(type))


@pytest.fixture
def _types(bench: Bench) -> None:
    @bench.app.task(keep_result="1h", keep_record="2h")
    async def value(ctx: Context) -> int:
        return 1

    @bench.app.task(keep_result="1h", keep_record="2h")
    async def file(ctx: Context) -> File:
        path = ctx.folder / "out"
        path.write_text("x")
        return File(path)


async def content(bench: Bench, key: str) -> bytes:
    return b"".join([piece async for piece in bench.service.files.read(key)])


@pytest.mark.usefixtures("_types")
async def test_first_the_result_goes_then_the_record(bench: Bench) -> None:
    loop = Expire(bench.store, bench.service.files, bench.clock)
    tasks = [await ended(bench, "value"), await ended(bench, "file")]
    result = tasks[1].result
    assert isinstance(result, FileResult)
    await loop.round()
    assert await content(bench, result.key) == b"x"
    bench.clock.ahead += HOUR
    await loop.round()
    for task in tasks:
        assert (await bench.get(task)).result is None
        with pytest.raises(Gone):
            await bench.service.result(LOCAL, task.id)
    with pytest.raises(FileMissing):
        await content(bench, result.key)
    bench.clock.ahead += HOUR
    assert await loop.round() == loop.every <= MINUTE
    for task in tasks:
        with pytest.raises(NotFound):
            await bench.get(task)


@pytest.mark.usefixtures("_types")
async def test_a_full_batch_is_followed_by_the_next_at_once(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(expire, "BATCH", 1)
    loop = Expire(bench.store, bench.service.files, bench.clock)
    for _ in range(2):
        await ended(bench, "value")
    bench.clock.ahead += 2 * HOUR
    assert [await loop.round(), await loop.round(), await loop.round()] == [0, 0, loop.every]


async def test_keys_are_forgotten_a_month_after_their_end(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(expire, "BATCH", 2)
    loop = Forget(bench.store, bench.service.files, bench.clock)
    keys = [(await bench.service.keys.add("ada", ["acme:user"]))[0] for _ in range(5)]
    for key in keys[:3]:
        await bench.service.keys.revoke(key.id)
    bench.clock.ahead += 30 * DAY - HOUR
    assert await loop.round() == HOUR
    assert [key.id async for key in bench.service.keys.all()] == [key.id for key in keys]
    bench.clock.ahead += HOUR
    assert [await loop.round(), await loop.round()] == [0, HOUR]
    assert [key.id async for key in bench.service.keys.all()] == [key.id for key in keys[3:]]


async def some_bytes() -> AsyncIterator[bytes]:
    yield b"x"


@pytest.mark.usefixtures("_types")
async def test_files_that_no_record_knows_are_swept(bench: Bench) -> None:
    loop = Sweep(bench.store, bench.service.files, bench.clock)
    task = await ended(bench, "file")
    assert isinstance(task.result, FileResult)
    orphan = await bench.service.files.put(Path(__file__))
    assert await loop.round() == HOUR
    assert await content(bench, orphan.key)
    bench.clock.ahead += HOUR
    await loop.round()
    with pytest.raises(FileMissing):
        await content(bench, orphan.key)
    assert await content(bench, task.result.key) == b"x"
