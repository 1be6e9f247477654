"""What becomes of tasks whose worker, or whose client, has fallen silent?"""

import asyncio
import logging
from collections.abc import Iterable
from typing import ClassVar

from milepost import times
from milepost.engine.background import BackgroundLoop, Sleep
from milepost.files.protocol import FileStore
from milepost.store.protocol import TaskStore
from milepost.store.workers import Pulse
from milepost.times import SECOND, Clock

_log = logging.getLogger(__name__)


class Rescue(BackgroundLoop):
    """Takes tasks back from leases that ended, and lets tasks that nobody can run say so.

    A worker's lease ends when its heart stands still for the lease's length while this loop looks on. So no clock has
    to be right, and a watcher that was suspended itself has seen nothing. `timer` gives µs since some moment.
    """

    every: ClassVar[int] = SECOND

    def __init__(
        self,
        store: TaskStore,
        files: FileStore,
        clock: Clock,
        sleep: Sleep = asyncio.sleep,
        timer: Clock = times.elapsed,
    ) -> None:
        super().__init__(store, files, clock, sleep)
        self._timer = timer
        self._looked_at = timer()
        self._silences: dict[Pulse, int] = {}

    async def round(self) -> int:
        """See BackgroundLoop."""
        lost = await self.store.rescue(self._silent(await self.store.pulses()), now=self.clock())
        if lost:
            _log.warning("Lost and queued again or failed: %s", ", ".join(lost))
        await self.store.note_obstacles(now=self.clock())
        return self.every

    def _silent(self, pulses: Iterable[Pulse]) -> list[Pulse]:
        """Those that have stood still for too long."""
        looked_at, self._looked_at = self._looked_at, self._timer()
        watched = min(self._looked_at - looked_at, 2 * self.every)
        before = self._silences
        self._silences = {pulse: before[pulse] + watched if pulse in before else 0 for pulse in pulses}
        return [pulse for pulse, silence in self._silences.items() if silence >= pulse.worker.lease]
