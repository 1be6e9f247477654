"""How do tests speak Quant: an agent of an organisation, and who may be one."""

from collections.abc import Mapping
from typing import Any

import httpx2

from milepost.service import Service

GRANTS: Mapping[str, str] = {
    "root": "acme:admin",
    "mia": "acme:member",
    "ada": "acme:user",
    "bob": "acme:user",
    "eve": "other:admin",
    "sue": "*:service",
}
"""Who has a key in these tests, and for what."""


async def keys(service: Service) -> dict[str, str]:
    """A key for each; from then on nobody calls without one."""
    return {name: (await service.keys.add(name, [grant]))[1] for name, grant in GRANTS.items()}


class Agent:
    """Calls the operations as `organisation`, showing `key` if it has one."""

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
