"""How is each operation of each dialect asked for, and about what?"""

from collections.abc import Mapping
from typing import Any, Final, Literal, NamedTuple

from milepost.http.dialects.cloudcoin import OTHER_NAMES

from .aparavi_wire import SAMPLE

Prepared = Literal["queued", "paused", "failed", "succeeded", "standing"]
"""How a task stands with which an operation can be carried out."""


class Place(NamedTuple):
    """Where a task is, or would be: what fills the path of a request about it."""

    tenant: str
    id: str
    number: int
    token: str

    def within(self, path: str) -> str:
        """The path with this put in."""
        return path.format(hex=self.id.replace("-", ""), **self._asdict())


class About(NamedTuple):
    """A request about one task. `needs` is the least role that may make it, of those who see the task."""

    path: str
    prepared: Prepared = "queued"
    send: Mapping[str, Any] = {}
    needs: Literal["user", "admin"] = "user"
    status: int | None = None
    """With which an allowed one is answered, where it is no success."""


class Starting(NamedTuple):
    """A request that makes a task: in the tenant that it names, or else in the caller's own."""

    path: str
    send: Mapping[str, Any] = {}
    named: str | None = None
    """What of a JSON body names the tenant."""
    of_lines: bool = False
    """Whether the body is lines, and each line of the answer says by itself what it is refused for."""

    @property
    def names_tenant(self) -> bool:
        """Whether it says where."""
        return "{tenant}" in self.path or self.named is not None


class Listing(NamedTuple):
    """A request for all tasks, or those of a tenant that it names."""

    path: str


class Counting(NamedTuple):
    """A request for how many tasks there are."""

    path: str


class Server(NamedTuple):
    """A request about the server and none of its tasks: for all, for who has a key, for admins of any tenant, or for
    services.
    """

    path: str
    of: Literal["all", "callers", "admins", "services"] = "callers"
    send: Mapping[str, Any] = {}
    status: int | None = None
    """With which an allowed one is answered, where it is no success."""


Asked = About | Starting | Listing | Counting | Server

_TEXT: Final = {"content": b"some text", "headers": {"content-type": "text/plain"}}
_FILE: Final = {"content": b"a,b", "headers": {"content-disposition": 'attachment; filename="a.csv"'}}
_TARGET: Final = {"action": "export", "export_index": "wallet-ledger"}

_NATIVE: Final[Mapping[str, tuple[Asked, ...]]] = {
    "POST /v1/tasks": (
        Starting("/v1/tasks", {"json": {"type": "export"}}, "tenant"),
        Starting("/v1/tasks", {"json": {"type": "export"}}),
        Starting("/v1/tasks", {"json": {"type": "export"}, "headers": {"idempotency-key": "one"}}, "tenant"),
    ),
    "POST /v1/tasks:batch": (Starting("/v1/tasks:batch", {"json": {"type": "export"}}, "tenant", of_lines=True),),
    "GET /v1/tasks": (Listing("/v1/tasks"), Listing("/v1/tasks?tenant={tenant}")),
    "GET /v1/tasks/{id}": (
        About("/v1/tasks/{id}"),
        About("/v1/tasks/{id}?include=input,traceback", "failed"),
        About("/v1/tasks/{id}?wait=60&version=0"),
        About("/v1/tasks/{id}", send={"headers": {"if-none-match": '"1-native"'}}, status=304),
    ),
    "PATCH /v1/tasks/{id}": (
        About("/v1/tasks/{id}", send={"json": {"title": "new"}}),
        About("/v1/tasks/{id}", send={"json": {"title": "x"}, "headers": {"if-match": '"9-native"'}}, status=412),
    ),
    "DELETE /v1/tasks/{id}": (
        About("/v1/tasks/{id}", "succeeded", needs="admin"),
        About("/v1/tasks/{id}?cascade=true", "failed", needs="admin"),
    ),
    "POST /v1/tasks/{id}/deliveries": (
        About("/v1/tasks/{id}/deliveries", "standing", {"json": {"input": {"rows": 1}}}),
        About("/v1/tasks/{id}/deliveries", "standing", _FILE),
        About("/v1/tasks/{id}/deliveries", "queued", {"json": {"input": {}}}, status=409),
    ),
    "GET /v1/tasks/{id}/events": (About("/v1/tasks/{id}/events", "succeeded"),),
    "GET /v1/tasks/{id}/logs": (About("/v1/tasks/{id}/logs"),),
    "GET /v1/tasks/{id}/result": (
        About("/v1/tasks/{id}/result", "succeeded"),
        About("/v1/tasks/{id}/result", "succeeded", {"headers": {"range": "bytes=0-1"}}),
        About("/v1/tasks/{id}/result", "queued", status=409),
    ),
    "POST /v1/tasks/{id}/cancel": (
        About("/v1/tasks/{id}/cancel"),
        About("/v1/tasks/{id}/cancel", "succeeded", status=409),
    ),
    "POST /v1/tasks/{id}/pause": (About("/v1/tasks/{id}/pause"),),
    "POST /v1/tasks/{id}/resume": (About("/v1/tasks/{id}/resume", "paused"),),
    "POST /v1/tasks/{id}/retry": (About("/v1/tasks/{id}/retry", "failed"),),
    "GET /v1/tasks/{id}/callbacks": (About("/v1/tasks/{id}/callbacks"), About("/v1/tasks/{id}/callbacks", "succeeded")),
    "GET /v1/keys": (Server("/v1/keys", "admins"),),
    "POST /v1/keys": (Server("/v1/keys", "admins", {"json": {"name": "new", "grants": ["?"]}}, 422),),
    "DELETE /v1/keys/{id}": (Server("/v1/keys/0123456789abcdef", "admins", status=404),),
    "POST /v1/keys/{id}/rotate": (Server("/v1/keys/0123456789abcdef/rotate", "admins", status=404),),
    "GET /v1/webhook-secrets": (Server("/v1/webhook-secrets", "admins"),),
    "POST /v1/webhook-secrets": (Server("/v1/webhook-secrets", "admins", {"json": {"tenant": ""}}, 422),),
    "DELETE /v1/webhook-secrets/{tenant}": (Server("/v1/webhook-secrets/absent", "admins", status=404),),
    "GET /v1/types": (Server("/v1/types"),),
    "POST /v1/types/{name}/pause": (Server("/v1/types/export/pause", "services"),),
    "POST /v1/types/{name}/resume": (Server("/v1/types/export/resume", "services"),),
}

_SERVICES: Final[Mapping[str, tuple[Asked, ...]]] = {
    "POST /tasks": (Starting("/tasks", {"json": {"desc": "Ledger", "target": _TARGET, "trigger": {}}}, "chain"),),
    "GET /tasks": (Listing("/tasks"), Listing("/tasks?chain={tenant}")),
    "GET /tasks/{id}": (About("/tasks/{number}?chain={tenant}"),),
    "POST /tasks/{id}/execute": (About("/tasks/{number}/execute?chain={tenant}", "failed"),),
    "GET /tasks/{id}/download_url": (
        About("/tasks/{number}/download_url?chain={tenant}", "succeeded"),
        About("/tasks/{number}/download_url?chain={tenant}", "failed", status=409),
    ),
}

_TASK: Final = "/task?token={token}&type=cpu"
_APARAVI: Final[Mapping[str, tuple[Asked, ...]]] = {
    "PUT /task": (Starting("/task", {"json": SAMPLE}),),
    "GET /task": (About(_TASK), About("/task?token=task_{id}&type=cpu")),
    "DELETE /task": (About(_TASK), About(_TASK, "standing"), About(_TASK, "succeeded")),
    "PUT /webhook": (
        About("/webhook?token={token}&type=cpu", "standing", _TEXT, status=202),
        About("/webhook?token={token}&type=cpu", "queued", _TEXT, status=409),
    ),
    "POST /pipe/validate": (Starting("/pipe/validate", {"json": SAMPLE}),),
    "GET /services": (Server("/services"),),
    "GET /version": (Server("/version"),),
    "GET /status": (Counting("/status"),),
}

_ORGANISATION: Final = "/api/v3/organizations/{tenant}/ai/tasks"
_OF_ORGANISATION: Final = "/api/v3/organizations/{organisation}/ai/tasks"
_QUANT: Final[Mapping[str, tuple[Asked, ...]]] = {
    f"GET {_OF_ORGANISATION}": (Listing(_ORGANISATION), Listing(_ORGANISATION + "?includeDetails=true")),
    f"POST {_OF_ORGANISATION}": (Starting(_ORGANISATION, {"json": {"title": "Report"}}),),
    f"GET {_OF_ORGANISATION}/{{taskId}}": (About(_ORGANISATION + "/{id}"), About(_ORGANISATION + "/{id}", "succeeded")),
    f"PUT {_OF_ORGANISATION}/{{taskId}}": (
        About(_ORGANISATION + "/{id}", send={"json": {"title": "new"}}),
        About(_ORGANISATION + "/{id}", send={"json": {"status": "cancelled"}}),
        About(_ORGANISATION + "/{id}", send={"json": {"status": "completed"}}, status=409),
    ),
    f"DELETE {_OF_ORGANISATION}/{{taskId}}": (
        About(_ORGANISATION + "/{id}", "queued", needs="admin"),
        About(_ORGANISATION + "/{id}?cascade=true", "succeeded", needs="admin"),
    ),
    f"GET {_OF_ORGANISATION}/{{taskListId}}/dependency-graph": (Listing(_ORGANISATION + "/shared/dependency-graph"),),
}


def _metavault(prefix: str) -> dict[str, tuple[Asked, ...]]:
    project = prefix + "/api/projects/{tenant}"
    return {
        f"GET {prefix}/api/projects/{{projectId}}/tasks/{{taskId}}": (
            About(project + "/tasks/{hex}"),
            About(project + "/tasks/{id}"),
        ),
        f"GET {prefix}/api/projects/{{projectId}}/tasks/{{taskId}}/result": (
            About(project + "/tasks/{hex}/result", "succeeded"),
        ),
        f"POST {prefix}/api/projects/{{projectId}}/{{call}}": (Starting(project + "/export"),),
        f"GET {prefix}/api": (Server(prefix + "/api", "all"),),
    }


def _cloudcoin() -> dict[str, tuple[Asked, ...]]:
    folders = ("/api/v1/tasks", "/get-task-status", "/api/v1/get-task-status", "/api/v1/task")
    reading: dict[str, tuple[Asked, ...]] = {
        f"GET {folder}/{{id}}": (About(folder + "/{id}"), About(folder + "/{id}", "succeeded")) for folder in folders
    }
    commands: dict[str, tuple[Asked, ...]] = {f"POST /{name}": (Starting(f"/{name}"),) for name in OTHER_NAMES}
    return {**reading, **commands, "POST /api/v1/{command}": (Starting("/api/v1/export"),)}


ASKED: Final[Mapping[str, Mapping[str, tuple[Asked, ...]]]] = {
    "native": _NATIVE,
    "metavault": {**_metavault(""), **_metavault("/metavault")},
    "services": _SERVICES,
    "aparavi": _APARAVI,
    "cloudcoin": _cloudcoin(),
    "quant": _QUANT,
}
"""By dialect and operation: requests that are made of it."""
