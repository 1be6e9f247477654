"""How do tests speak Quant: an agent of an organisation, and who may be one."""

from collections.abc import Mapping
from typing import Any

import httpx2
from starlette.requests import Request

from milepost.access.principal import LOCAL, Grant, Principal, Role
from milepost.errors import Unauthenticated
from milepost.http.dialect import Operation

JSON = "application/json"

KEYS: Mapping[str, Principal] = {
    "root": Principal("root", "Root", (Grant("acme", Role.ADMIN),)),
    "mia": Principal("mia", "Mia", (Grant("acme", Role.MEMBER),)),
    "ada": Principal("ada", "Ada", (Grant("acme", Role.USER),)),
    "bob": Principal("bob", "Bob", (Grant("acme", Role.USER),)),
    "eve": Principal("eve", "Eve", (Grant("other", Role.ADMIN),)),
    "local": LOCAL,
}


async def by_key(request: Request, operation: Operation, credentials: str | None) -> Principal:
    """Who shows one of `KEYS`."""
    principal = KEYS.get(credentials or "")
    if principal is None:
        raise Unauthenticated("No such key.")
    return principal


class Agent:
    """Calls the operations as `organisation`, with `key` if it has one."""

    def __init__(self, client: httpx2.AsyncClient, organisation: str = "default", key: str | None = None) -> None:
        self.client = client
        self.path = f"/api/v3/organizations/{organisation}/ai/tasks"
        self.headers = {} if key is None else {"Authorization": f"Bearer {key}"}

    async def post(self, body: Any) -> httpx2.Response:
        """The answer to a creation."""
        return await self.client.post(self.path, json=body, headers=self.headers)

    async def create(self, title: str = "A task", **fields: Any) -> str:
        """The id of a new task."""
        answer = await self.post({"title": title, **fields})
        assert answer.status_code == 201, answer.text
        return str(answer.json()["taskId"])

    async def put(self, task_id: str, body: Any, **headers: str) -> httpx2.Response:
        """The answer to a change; headers are named with underscores."""
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        return await self.client.put(f"{self.path}/{task_id}", json=body, headers=self.headers | sent)

    async def update(self, task_id: str, **fields: Any) -> Any:
        """The task after a change."""
        answer = await self.put(task_id, fields)
        assert answer.status_code == 200, answer.text
        return await self.get(task_id)

    async def read(self, task_id: str, **headers: str) -> httpx2.Response:
        """The answer to a read."""
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        return await self.client.get(f"{self.path}/{task_id}", headers=self.headers | sent)

    async def get(self, task_id: str) -> Any:
        """The task."""
        answer = await self.read(task_id)
        assert answer.status_code == 200, answer.text
        return answer.json()

    async def list(self, **query: Any) -> Any:
        """The answer to a list."""
        answer = await self.client.get(self.path, params=query, headers=self.headers)
        assert answer.status_code == 200, answer.text
        return answer.json()

    async def delete(self, task_id: str, **query: Any) -> httpx2.Response:
        """The answer to a deletion."""
        return await self.client.delete(f"{self.path}/{task_id}", params=query, headers=self.headers)

    async def graph(self, list_id: str) -> Any:
        """A dependency graph."""
        answer = await self.client.get(f"{self.path}/{list_id}/dependency-graph", headers=self.headers)
        assert answer.status_code == 200, answer.text
        return answer.json()
