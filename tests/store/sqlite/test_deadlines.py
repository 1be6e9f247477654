import asyncio

from milepost.store.sqlite.deadlines import GRAIN, LONG, Deadlines
from tests.store.scene import bounded


async def test_a_time_that_has_come_wakes() -> None:
    deadlines = Deadlines(asyncio.get_running_loop())
    soon, done = [asyncio.get_running_loop().create_future() for _ in range(2)]
    when = deadlines.add(soon, 0.001)
    deadlines.add(done, 0.002)
    done.set_result(None)
    await bounded(soon)
    deadlines.remove(soon, when)
    while len(deadlines):
        await asyncio.sleep(0.001)
    assert not deadlines._due


async def test_those_of_about_the_same_time_share_a_timer() -> None:
    loop = asyncio.get_running_loop()
    deadlines = Deadlines(loop)
    kept = [(woken, deadlines.add(woken, LONG)) for woken in (loop.create_future() for _ in range(1000))]
    assert len(deadlines) < 1000 / 2, "unless this machine takes longer for each than the grain"
    assert all(when - loop.time() + 60 >= LONG for _, when in kept)
    assert all((when / GRAIN) % 1 < 1e-6 or (when / GRAIN) % 1 > 1 - 1e-6 for _, when in kept)
    for woken, when in kept:
        deadlines.remove(woken, when)
    assert not len(deadlines)
    assert not deadlines._due


async def test_short_times_are_kept_exactly() -> None:
    loop = asyncio.get_running_loop()
    deadlines = Deadlines(loop)
    woken = loop.create_future()
    before = loop.time()
    when = deadlines.add(woken, LONG / 2)
    assert before + LONG / 2 <= when <= loop.time() + LONG / 2
    deadlines.remove(woken, when)
