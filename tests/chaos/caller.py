"""How does a client ask, and what does it know afterwards? Every request goes into the history."""

import asyncio
import random
from collections.abc import Mapping, Sequence
from typing import Any, Final
from urllib.parse import urlsplit

import httpx2
import msgspec

from tests.chaos.history import History, Operation, Outcome
from tests.chaos.members import Server

PATIENCE: Final = 8.0
"""Seconds of silence after which a client gives up and does not know."""
UNREACHABLE: Final = 0.3
"""Seconds after which it looks again for a server that runs."""


class Caller:
    """A client of the HTTP API that goes to any of the servers."""

    def __init__(self, name: str, servers: Sequence[Server], history: History, chance: random.Random) -> None:
        self.name = name
        self.history = history
        self._servers = servers
        self._chance = chance
        self._http = httpx2.AsyncClient(timeout=PATIENCE, trust_env=False)

    async def close(self) -> None:
        """Hang up."""
        await self._http.aclose()

    async def server(self) -> Server:
        """One that runs, as far as one knows."""
        while True:
            running = [server for server in self._servers if server.ready.is_set()]
            if running:
                return self._chance.choice(running)
            await asyncio.sleep(UNREACHABLE)

    async def ask(
        self,
        action: str,
        path: str,
        *,
        method: str = "GET",
        json: Any = None,
        headers: Mapping[str, str] | None = None,
        patience: float = PATIENCE,
        **details: Any,
    ) -> Operation:
        """Ask once, and note what came back."""
        server = await self.server()
        operation = self.history.invoke(self.name, server.name, action, **details)
        outcome: Outcome = "unknown"
        try:
            answer = await self._http.request(
                method,
                server.url + path,
                json=json,
                headers=headers,
                timeout=httpx2.Timeout(patience, connect=PATIENCE),
            )
            operation.status = answer.status_code
            outcome = judge(answer.status_code)
            if outcome == "ok":
                take_in(operation, answer)
        except httpx2.ConnectError:
            outcome = "failed"  # it was never sent
        except httpx2.HTTPError:
            pass  # it was, and nobody knows what became of it
        finally:
            self.history.complete(operation, outcome)
        return operation

    def stream(self, server: Server, task: str, last_event_id: int) -> Any:
        """Open the stream of a task."""
        headers = {"last-event-id": str(last_event_id)} if last_event_id else {}
        return self._http.stream("GET", f"{server.url}/v1/tasks/{task}/events", headers=headers)


def judge(status: int) -> Outcome:
    """What an answer says of whether it has happened: a 503 promises that nothing was changed, a 500 does not."""
    if status < 400:
        return "ok"
    return "failed" if status < 500 or status == 503 else "unknown"


def take_in(operation: Operation, answer: httpx2.Response) -> None:
    """Note what an answer brought."""
    if operation.action == "result":
        operation.body = answer.json() if "json" in answer.headers["content-type"] else answer.text
        return
    body = answer.json()
    match operation.action:
        case "logs":
            operation.entries = body["entries"]
        case "list":
            operation.ids = [task["id"] for task in body["tasks"]]
            operation.body = body["next"]
        case "delete":
            operation.ids = body["deleted"]
        case _:
            operation.record = plain(body)
            operation.task = body["id"]


def plain(record: dict[str, Any]) -> dict[str, Any]:
    """A record without what differs from server to server: the address of its result."""
    result = record["result"]
    if record["result_is_link"] and result is not None:
        record["result"] = result | {"url": urlsplit(result["url"]).path}
    return record


def decode(data: str) -> Any:
    """JSON as it comes in an event."""
    return msgspec.json.decode(data)
