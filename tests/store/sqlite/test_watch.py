import asyncio
from collections.abc import Mapping, Sequence
from contextlib import suppress

import pytest

from milepost.store.refusals import StoreBusy
from milepost.store.sqlite import watch as watch_module
from milepost.store.sqlite.watch import COALESCE, Watch
from tests.store.scene import bounded


class Versions:
    """What others have written, and how often somebody looked."""

    def __init__(self, **versions: int) -> None:
        self.versions = dict(versions)
        self.looks: list[list[str]] = []
        self.errors: list[Exception] = []

    def __call__(self, ids: Sequence[str]) -> Mapping[str, int]:
        self.looks.append(list(ids))
        if self.errors:
            raise self.errors.pop()
        return {one: self.versions[one] for one in ids if one in self.versions}


async def waiting(watch: Watch, *ids: str) -> list[asyncio.Task[None]]:
    waits = [asyncio.create_task(watch.wait(one, 1, 60)) for one in ids]
    await asyncio.sleep(0)
    return waits


async def test_many_rings_lead_to_one_query_for_all() -> None:
    versions = Versions(a=1, b=1, c=1)
    watch = Watch(versions)
    waits = await waiting(watch, "a", "b", "b", "c")
    versions.looks.clear()
    versions.versions |= {"a": 2, "b": 2}
    for _ in range(100):
        watch.rung()
    await bounded(asyncio.gather(*waits[:3]))
    assert [sorted(look) for look in versions.looks] == [["a", "b", "c"]]
    assert not waits[3].done()
    del versions.versions["c"]
    watch.rung()
    await bounded(waits[3])


async def test_a_query_that_fails_is_repeated(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch_module, "AGAIN", 0.01)
    loop = asyncio.get_running_loop()
    said: list[object] = []
    loop.set_exception_handler(lambda loop, context: said.append(context["exception"]))
    versions = Versions(a=1)
    watch = Watch(versions)
    (wait,) = await waiting(watch, "a")
    broken = StoreBusy("being recovered")
    versions.errors = [broken, broken]
    versions.versions["a"] = 2
    watch.rung()
    await bounded(wait)
    assert said == [broken, broken]


async def test_a_query_that_fails_is_not_repeated_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    loop = asyncio.get_running_loop()
    failed = asyncio.Event()
    loop.set_exception_handler(lambda loop, context: failed.set())
    versions = Versions(a=1)
    watch = Watch(versions)
    waits = await waiting(watch, "a")
    versions.errors = [StoreBusy("being recovered")]
    watch.rung()
    await bounded(failed.wait())
    assert watch._looking is not None
    watch.close()
    await bounded(asyncio.gather(*waits))
    assert watch._looking.cancelled()


async def test_queries_keep_their_distance() -> None:
    loop = asyncio.get_running_loop()
    versions = Versions(a=1)
    watch = Watch(versions)
    (wait,) = await waiting(watch, "a")
    versions.looks.clear()
    changes = watch.changes()
    began = loop.time()
    for _ in range(5):
        watch.rung()
        await bounded(anext(changes))
    assert loop.time() - began >= 4 * COALESCE * 0.9
    assert len(versions.looks) == 5
    wait.cancel()
    with suppress(asyncio.CancelledError):
        await wait
    await changes.aclose()


async def test_a_ring_asks_nothing_when_nobody_waits() -> None:
    versions = Versions()
    watch = Watch(versions)
    changes = watch.changes()
    watch.rung()
    await bounded(anext(changes))
    assert versions.looks == []
    await changes.aclose()


async def test_own_commits_need_no_query() -> None:
    versions = Versions(a=1, b=1)
    watch = Watch(versions)
    first, second = await waiting(watch, "a", "b")
    versions.looks.clear()
    watch.committed({"a": 1, "x": 5})
    watch.committed({"a": 2, "b": None})
    await bounded(asyncio.gather(first, second))
    assert versions.looks == []


async def test_a_version_that_was_seen_wakes_nobody() -> None:
    watch = Watch(Versions(a=1))
    (wait,) = await waiting(watch, "a")
    watch.committed({"a": 1})
    watch.rung()
    assert not (await asyncio.wait([wait], timeout=5 * COALESCE))[0]
    watch.close()
    await bounded(wait)


async def test_nothing_is_kept_of_those_who_left() -> None:
    watch = Watch(Versions(a=1))
    changes = watch.changes()
    del changes
    (wait,) = await waiting(watch, "a")
    wait.cancel()
    with pytest.raises(asyncio.CancelledError):
        await wait
    assert not watch._waiting
    assert not watch._followers


async def test_closing_forgets_a_look_that_was_due() -> None:
    versions = Versions(a=1)
    watch = Watch(versions)
    watch.rung()
    watch.close()
    await asyncio.sleep(3 * COALESCE)
    assert versions.looks == []
