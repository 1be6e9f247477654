"""Does it live, is it ready, and how much is there to do?"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterator
from typing import Annotated, Final

import msgspec
from msgspec import Meta
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Metric, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from milepost.access.principal import Principal
from milepost.service import Service
from milepost.store.protocol import Tally, TypeInfo
from milepost.store.workers import WorkerInfo
from milepost.task import State

METRICS_TEXT: Final = CONTENT_TYPE_LATEST

PATIENCE: Final = 2.0
"""Seconds that the store may take before the server counts as not ready."""

logger = logging.getLogger(__name__)


class Readiness(msgspec.Struct, frozen=True):
    """Whether requests can be answered."""

    ready: bool
    detail: Annotated[str | None, Meta(description="Why not.")]
    open_mode: Annotated[bool, Meta(description="Whether everybody on this machine may call, without a key.")]
    workers: Annotated[int, Meta(description="Workers that are alive.")]
    types: Annotated[list[str], Meta(description="Names of the task types that there are.")]
    unoffered: Annotated[list[str], Meta(description="Those of them that no worker which is alive takes tasks of.")]


async def readiness(
    service: Service,
    *,
    open_mode: Callable[[], Awaitable[bool]],
    is_leaving: bool = False,
    patience: float = PATIENCE,
) -> Readiness:
    """Ask the store, for `patience` seconds at most. `is_leaving`: the server is about to stop."""
    is_open = False
    try:
        async with asyncio.timeout(patience):
            is_open = await open_mode()
            workers, types = await service.workers(), await service.types()
    except TimeoutError:
        return Readiness(False, f"The store did not answer within {patience:g} seconds.", is_open, 0, [], [])
    except Exception:
        logger.exception("the store can't be read")
        return Readiness(False, "The store can't be read.", is_open, 0, [], [])
    detail = "The server is stopping." if is_leaving else None
    names, offered = [info.name for info in types], {name for worker in workers for name in worker.types}
    unoffered = [name for name in names if name not in offered]
    return Readiness(not is_leaving, detail, is_open, len(workers), names, unoffered)


async def metrics(service: Service, principal: Principal) -> bytes:
    """What there is to do, and who does it, in Prometheus' text format."""
    registry = CollectorRegistry(auto_describe=False)
    snapshot = _Snapshot(await service.tally(principal), await service.types(), await service.workers())
    registry.register(snapshot)
    return generate_latest(registry)


class _Snapshot(Collector):
    """What was counted for one scrape; nothing outlives it, so that several applications share a process."""

    def __init__(self, tallies: list[Tally], types: list[TypeInfo], workers: list[WorkerInfo]) -> None:
        self._tasks = {(info.name, state): 0 for info in types for state in State}
        self._tasks |= {(tally.type, tally.state): tally.tasks for tally in tallies}
        self._workers = workers

    def collect(self) -> Iterator[Metric]:
        tasks = GaugeMetricFamily("milepost_tasks", "Tasks by type and state.", labels=("type", "state"))
        for (name, state), number in sorted(self._tasks.items()):
            tasks.add_metric((name, state), number)
        yield tasks
        yield GaugeMetricFamily("milepost_workers", "Workers that are alive.", value=len(self._workers))
        slots = sum(worker.concurrency for worker in self._workers)
        yield GaugeMetricFamily("milepost_worker_slots", "Tasks that these workers run at once at most.", value=slots)
