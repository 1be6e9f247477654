"""How a worker keeps its lease."""

import logging
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from milepost.engine.heartbeat import BEATS, LEASE, Heartbeat
from milepost.store.sqlite.gate import Gate
from milepost.store.sqlite.heart import SqliteHeart
from milepost.store.workers import Heart, WorkerInfo
from milepost.times import MILLISECOND, SECOND, Clock, elapsed, now
from tests.engine.bench import WITHIN, Bench

SHORT = 150 * MILLISECOND


class Beaten(logging.Handler):
    """Counts the heartbeats that fail."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.failures = threading.Semaphore(0)

    def emit(self, record: logging.LogRecord) -> None:
        """See Handler."""
        self.failures.release()


@pytest.fixture
def beaten() -> Iterator[Beaten]:
    """What goes wrong."""
    handler = Beaten()
    logging.getLogger("milepost.engine.heartbeat").addHandler(handler)
    yield handler
    logging.getLogger("milepost.engine.heartbeat").removeHandler(handler)


class Beating:
    """A heartbeat under observation."""

    def __init__(self, heart: Callable[[], Heart], *, timer: Clock = elapsed, lease: int = SHORT) -> None:
        self.over = threading.Event()
        self.beats = threading.Semaphore(0)
        self._heart = heart
        self.heartbeat = Heartbeat(
            self._observed,
            "worker",
            on_over=self.over.set,
            lease=lease,
            timer=timer,
        )

    def _observed(self) -> Heart:
        heart = self._heart()
        beat = heart.beat

        def observed(worker: str) -> bool:
            alive = beat(worker)
            self.beats.release()
            return alive

        heart.beat = observed  # type: ignore[method-assign]
        return heart

    def __enter__(self) -> "Beating":
        self.heartbeat.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.heartbeat.stop()


async def enlist(bench: Bench) -> None:
    await bench.store.enlist(WorkerInfo("worker", "host", 1, 1, ()))


def test_two_beats_may_fail_before_a_lease_ends() -> None:
    assert LEASE == 6 * SECOND
    assert LEASE / BEATS == 2 * SECOND


async def test_it_keeps_the_lease(bench: Bench) -> None:
    await enlist(bench)
    with Beating(bench.store.heart) as beating:
        for _ in range(6):  # twice the length of a lease
            assert beating.beats.acquire(timeout=WITHIN)
        assert [worker.id for worker in await bench.store.workers()] == ["worker"]
        assert not beating.over.is_set()
    await bench.store.rescue(await bench.store.pulses(), now=now())
    assert await bench.store.workers() == []


async def test_a_lease_that_was_ended_is_over(bench: Bench) -> None:
    await enlist(bench)
    await bench.store.dismiss("worker", now=now())
    with Beating(bench.store.heart) as beating:
        assert beating.over.wait(WITHIN)


async def test_a_beat_that_fails_is_followed_by_the_next(bench: Bench, beaten: Beaten) -> None:
    await enlist(bench)
    link = bench.folder / "link"
    with Beating(lambda: SqliteHeart(link / "milepost.db", busy_timeout=1000), timer=lambda: 0) as beating:
        assert beaten.failures.acquire(timeout=WITHIN)
        assert beaten.failures.acquire(timeout=WITHIN)
        link.symlink_to(bench.folder)
        assert beating.beats.acquire(timeout=WITHIN)
        assert not beating.over.is_set()


async def test_it_can_be_stopped_while_a_beat_waits_for_the_store(bench: Bench) -> None:
    await enlist(bench)
    gate = Gate(bench.app.path)
    waiting = Beating(bench.store.heart)
    with gate:
        with waiting as beating:
            assert not beating.beats.acquire(timeout=SHORT / SECOND)
        assert waiting.heartbeat._thread.is_alive()
    waiting.heartbeat._thread.join(WITHIN)
    assert not waiting.heartbeat._thread.is_alive()
    gate.close()


def test_a_lease_is_over_when_no_beat_succeeds_in_its_time(tmp_path: Path, beaten: Beaten) -> None:
    with Beating(lambda: SqliteHeart(tmp_path / "no" / "store", busy_timeout=1000)) as beating:
        assert beating.over.wait(WITHIN)
    assert beaten.failures.acquire(timeout=0)
