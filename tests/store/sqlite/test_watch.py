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


async def test_what_another_process_says_wakes_those_it_names_without_a_query() -> None:
    versions = Versions(a=1, b=1, c=1)
    watch = Watch(versions)
    first, second, third = await waiting(watch, "a", "b", "c")
    changes = watch.changes()
    versions.looks.clear()
    watch.heard({"a": 2, "b": None, "c": 1, "x": 7})
    await bounded(asyncio.gather(first, second))
    await bounded(anext(changes))
    assert versions.looks == []
    assert not third.done()
    watch.close()
    await bounded(third)
    await changes.aclose()


async def test_many_are_looked_at_a_few_at_a_time_and_others_have_their_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch_module, "AT_ONCE", 10)
    names = [f"n{number}" for number in range(25)]
    versions = Versions(**dict.fromkeys(names, 1))
    watch = Watch(versions)
    waits = await waiting(watch, *names)
    versions.looks.clear()
    looked = asyncio.Event()
    waits[24].add_done_callback(lambda _: looked.set())
    versions.versions["n24"] = 2
    watch.rung()
    while len(versions.looks) < 1:
        await asyncio.sleep(0)
    assert len(versions.looks) == 1
    watch.rung()  # it may mean one that was looked at already
    versions.versions["n0"] = 2
    waits[5].cancel()
    await bounded(looked.wait())
    assert [len(look) for look in versions.looks[:3]] == [10, 10, 5]
    await bounded(waits[0])
    assert sum(map(len, versions.looks)) >= 25 + 10
    watch.close()
    await bounded(asyncio.gather(*waits, return_exceptions=True))


async def test_a_look_that_took_long_is_not_soon_followed_by_another(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch_module, "SPARE", 1e9)
    versions = Versions(a=1)
    watch = Watch(versions)
    (wait,) = await waiting(watch, "a")
    versions.looks.clear()
    changes = watch.changes()
    for _ in range(3):
        watch.rung()
        await bounded(anext(changes))
    assert len(versions.looks) == 1
    assert watch._looking is not None, "it is due, at some time"
    watch.close()
    await bounded(wait)
    await changes.aclose()


async def test_many_may_wait_for_one() -> None:
    watch = Watch(Versions(a=1))
    waits = await waiting(watch, *["a"] * 5)
    waits[1].cancel()
    await asyncio.gather(waits[1], return_exceptions=True)
    watch.committed({"a": 2})
    await bounded(asyncio.gather(*waits, return_exceptions=True))
    assert not watch._waiting
    assert not len(watch._deadlines)


async def test_a_wait_ends_when_its_time_is_over() -> None:
    watch = Watch(Versions(a=1))
    await bounded(watch.wait("a", 1, 0.001))
    assert not watch._waiting
