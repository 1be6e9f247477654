"""What tests of the Services API send, and the clock that they set."""

from typing import Any

import httpx2

from milepost.http.dialects.services_errors import NO_RIGHT, NO_TASK
from milepost.times import from_rfc3339

EXPORT: dict[str, Any] = {"action": "export", "export_index": "wallet-ledger"}
NOT_FOUND = {
    "result": {"code": 2, "status": "error"},
    "error": {"code": 2, "name": "task_not_found", "description": NO_TASK},
}
NOT_ALLOWED = {
    "result": {"code": 2, "status": "error"},
    "error": {"code": 1, "name": "authentication_failure", "description": NO_RIGHT},
}


class SetClock:
    """A clock that stands where a test sets it."""

    def __init__(self, at: str) -> None:
        self.set(at)

    def set(self, at: str) -> None:
        """Set it to this time, as RFC 3339."""
        self.now = from_rfc3339(at)

    def __call__(self) -> int:
        return self.now


def body(**said: Any) -> dict[str, Any]:
    """A task to create, in chain 1764 unless told otherwise."""
    return {"chain": 1764, "desc": "Ledger", "target": EXPORT, "trigger": {}, **said}


async def create(client: httpx2.AsyncClient, **said: Any) -> httpx2.Response:
    """The answer to that."""
    return await client.post("/tasks", json=body(**said))


async def created(client: httpx2.AsyncClient, **said: Any) -> Any:
    """The task."""
    response = await create(client, **said)
    assert response.status_code == 201, response.text
    return response.json()


def description(response: httpx2.Response) -> str:
    """What an error says."""
    said = response.json()
    assert said.keys() == {"result", "error"}
    assert said["result"] == {"code": 2, "status": "error"}
    assert said["error"].keys() == {"code", "name", "description"}
    return str(said["error"]["description"])
