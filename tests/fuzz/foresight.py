"""What schemathesis is told, and asked to check, beyond a document. It loads this as its hooks."""

import itertools
import json
import os
from typing import Any

import schemathesis

from tests.fuzz import reasons

DIALECT = os.environ["DIALECT"]
TENANT = os.environ["TENANT"]
STANDING = os.environ["STANDING"]
"""The id of a task that takes deliveries."""
KEYS = os.environ.get("KEYS", "").split()
"""With which requests are made in turn."""

if KEYS:

    @schemathesis.auth(refresh_interval=None)
    class InTurn:
        """Each request with the next key."""

        def __init__(self) -> None:
            self._keys = itertools.cycle(KEYS)

        def get(self, case: Any, ctx: Any) -> str:
            """The key."""
            return next(self._keys)

        def set(self, case: Any, data: str, ctx: Any) -> None:
            """Show it."""
            case.headers["Authorization"] = f"Bearer {data}"


if "NEEDS_KEY" in os.environ:

    @schemathesis.hook
    def before_load_schema(ctx: Any, raw_schema: dict[str, Any]) -> None:
        """Have the document say that a key is needed."""
        raw_schema["security"].remove({})


@schemathesis.check
def refused_for_cause(ctx: Any, response: Any, case: Any) -> None:
    """Nothing that is right by the document is refused but for one of the listed reasons."""
    if response.status_code in (400, 422) and _is_right(case):
        unknown = reasons.unknown(DIALECT, response.json())
        assert not unknown, unknown


@schemathesis.check
def problems_are_told(ctx: Any, response: Any, case: Any) -> None:
    """Every refusal is a problem that says what is wrong; of a wrong request, where."""
    if response.status_code >= 400 and DIALECT == "native":
        assert response.headers["content-type"] == ["application/problem+json"], response.headers["content-type"]
        problem = response.json()
        assert problem["status"] == response.status_code
        assert problem["detail"]
        assert response.status_code != 422 or problem.get("errors") or problem["type"].endswith("-reused"), problem


@schemathesis.serializer("application/x-ndjson")
def lines(_: Any, value: Any) -> bytes:
    """What the document describes is one line; a few of the same are sent."""
    line = value if isinstance(value, bytes) else json.dumps(value).encode()
    return b"".join(line + b"\n" for _ in range(3))


@schemathesis.hook
def before_call(ctx: Any, case: Any, kwargs: Any) -> None:
    """Let what is meant to be right name what is there, so that it gets further than to the reasons."""
    if not _is_right(case) or len(str(case.body)) % 5 == 0:  # of the rest it is to be seen that it is refused
        return
    path = case.path_parameters or {}
    for name in ("organisation", "projectId"):
        if name in path:
            path[name] = TENANT
    if case.operation.label in _RIGHT:
        _RIGHT[case.operation.label](case)


def _start(case: Any) -> None:
    kind = "foreign" if case.body.get("runner") == "external" else "wait" if case.body.get("title") else "echo"
    own = {"runner": None, "lease_seconds": None, "state": None} if kind != "foreign" else {}
    case.body = case.body | {"type": kind, "input": {"value": case.body.get("input")}} | own
    case.body.pop("depends_on", None)
    case.body.pop("tenant", None)
    case.body.pop("owner", None)


def _deliver(case: Any) -> None:
    if isinstance(case.body, dict):
        case.body = {"input": {"value": case.body.get("input")}}
    case.path_parameters["id"] = STANDING


def _echo(name: str) -> Any:
    def carry_out(case: Any) -> None:
        case.path_parameters[name] = "echo"
        if isinstance(case.body, dict):
            case.body = {"value": case.body}

    return carry_out


def _create(case: Any) -> None:
    case.body = case.body | {"chain": int(TENANT), "target": {"action": "echo", "value": case.body["target"]}}


def _pipe(case: Any) -> None:
    components = [{"provider": "webhook" if len(str(case.body)) % 2 else "file", "config": {"path": "."}}]
    case.body = {"pipeline": {"components": components}} if "pipeline" in case.body else {"components": components}


def _stand(case: Any) -> None:
    case.query["token"] = f"task_{STANDING}"


_RIGHT = {
    "POST /v1/tasks": _start,
    "POST /v1/tasks/{id}/deliveries": _deliver,
    "POST /api/projects/{projectId}/{call}": _echo("call"),
    "POST /metavault/api/projects/{projectId}/{call}": _echo("call"),
    "POST /tasks": _create,
    "PUT /task": _pipe,
    "GET /task": _stand,
    "PUT /webhook": _stand,
    "POST /api/v1/{command}": _echo("command"),
}
"""By operation: what makes a request name what is there."""


def _is_right(case: Any) -> bool:
    """Whether a request is meant to be right by the document."""
    if case.headers.get("If-Match") == "":
        return False  # schemathesis takes it for right in its coverage phase, although the pattern does not allow it
    return case.meta is not None and case.meta.generation.mode.value == "positive"
