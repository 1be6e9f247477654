"""How does a client follow a task through servers that die and streams that break off?"""

import asyncio
import random
from typing import Any, Final

import httpx2

from tests.chaos.caller import Caller, decode, plain
from tests.chaos.history import Operation

AGAIN_AFTER: Final = 0.3
"""Seconds."""


class Follower:
    """Follows one task to its end, coming back with the last id that it was told, as an EventSource does."""

    def __init__(self, caller: Caller, task: str, chance: random.Random) -> None:
        self._caller = caller
        self._task = task
        self._chance = chance
        self._last_event_id = 0

    async def follow(self) -> None:
        """Return when there is nothing more to follow."""
        while await self._follow_once():
            await asyncio.sleep(AGAIN_AFTER)

    async def _follow_once(self) -> bool:
        """One connection; whether to come back."""
        server = await self._caller.server()
        history = self._caller.history
        stream = history.invoke(
            self._caller.name, server.name, "follow", task=self._task, last_event_id=self._last_event_id
        )
        try:
            async with self._caller.stream(server, self._task, self._last_event_id) as response:
                stream.status = response.status_code
                if response.status_code == 200:
                    await self._listen(response, stream)
        except httpx2.HTTPError:
            pass  # broken off: that is what is to be survived
        finally:
            history.complete(stream, "ok" if stream.status in (200, 204) else "failed")
        return stream.status not in (204, 404)

    async def _listen(self, response: httpx2.Response, stream: Operation) -> None:
        """Take events in until the stream ends, or until one has had enough of it for now."""
        left = self._chance.choice((1, 3, 8, 1_000_000))
        stream.entries = []
        event, data = "", ""
        async for line in response.aiter_lines():
            if line.startswith("event:"):
                event = line[6:].strip()
            elif line.startswith("data:"):
                data = line[5:].strip()
            elif not line and data:
                self._take_in(stream, event, decode(data))
                event, data = "", ""
                left -= 1
                if not left:
                    return

    def _take_in(self, stream: Operation, event: str, body: dict[str, Any]) -> None:
        if event == "log":
            stream.entries.append(body)
            return
        history = self._caller.history
        told = history.invoke(self._caller.name, stream.server, "event", task=self._task, record=plain(body))
        told.invoked = stream.invoked  # what was shown before that must not be newer
        told.last_event_id = stream.number
        told.after = len(stream.entries)
        history.complete(told, "ok")
        self._last_event_id = body["version"]
