"""What becomes of tasks whose worker, or whose client, has fallen silent?"""

import logging
from typing import ClassVar

from milepost.engine.background import BackgroundLoop
from milepost.times import SECOND

_log = logging.getLogger(__name__)


class Rescue(BackgroundLoop):
    """Takes tasks back from leases that ran out, and says of tasks that nobody can run that this is so."""

    every: ClassVar[int] = SECOND

    async def round(self) -> int:
        """See BackgroundLoop."""
        lost = await self.store.rescue(now=self.clock())
        if lost:
            _log.warning("Lost and queued again or failed: %s", ", ".join(lost))
        await self.store.note_unoffered(now=self.clock())
        return self.every
