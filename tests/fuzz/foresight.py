"""What schemathesis is told, and asked to check, beyond the document. It loads this as its hooks.

Of requests that are right by the document, a few are refused all the same: for what is not there, or is no longer
ahead. No JSON Schema can say that, so each such reason is listed here with its place, and no other is accepted.
"""

import json
import os
import re
from typing import Any

import schemathesis

REASONS = (
    # What a start or a change names must be there.
    (r"/type", r"There is no task type '.*' here\."),
    (r"/depends_on/\d+", r"No such task\.|The task would wait for itself\."),
    (r"after", r"This cursor is not one that a list gave\."),
    # What it says together with the type's own schema and runner, which the document does not repeat.
    (r"/input(/.*)?", r".*"),
    (r"/runner", r"Tasks of this type run as .*, process or external\."),
    (r"/state", r"For tasks with runner external only: .*"),
    (r"/lease_seconds", r"A positive number, for tasks with runner external only\."),
    # Times that have passed, time zones and cron expressions, and durations in words that add up to too much.
    (r"/start_by", r"Must lie ahead\."),
    (r"/run_at", r"A repetition must start in the years 1970 to 2999\."),
    (r"/trigger/timezone", r"Not the IANA name of a time zone: .*"),
    (r"/trigger/cron", r"(Not a cron expression|Never matches).*"),
    (r"/trigger/every", r"Must last from 1s to .*|A duration may last at most .*"),
    (r"/timeout", r"Must be more than 0\.|A duration may last at most .*"),
)


@schemathesis.check
def refused_for_cause(ctx: Any, response: Any, case: Any) -> None:
    """Nothing that is right by the document is refused but for one of the listed reasons."""
    if response.status_code == 422 and _is_right(case):
        for error in response.json().get("errors", ()):
            place = error.get("pointer", error.get("parameter"))
            known = any(re.fullmatch(where, place) and re.fullmatch(why, error["detail"]) for where, why in REASONS)
            assert known, f"{place}: {error['detail']}"


@schemathesis.check
def problems_are_told(ctx: Any, response: Any, case: Any) -> None:
    """Every refusal is a problem that says what is wrong; of a wrong request, where."""
    if response.status_code >= 400:
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
    """Let what is meant to be right name what is there, so that it gets further than to `REASONS`."""
    if not (_is_right(case) and isinstance(case.body, dict)):
        return
    if case.operation.label == "POST /v1/tasks":
        kind = "foreign" if case.body.get("runner") == "external" else "wait" if case.body.get("title") else "echo"
        own = {"runner": None, "lease_seconds": None, "state": None} if kind != "foreign" else {}
        case.body = case.body | {"type": kind, "input": {"value": case.body.get("input")}} | own
    if case.operation.label == "POST /v1/tasks/{id}/deliveries":
        case.body = {"input": {"value": case.body.get("input")}}
        case.path_parameters["id"] = os.environ["STANDING"]
    if len(str(case.body)) % 5:  # of the rest it is to be seen that it is refused
        case.body.pop("depends_on", None)


def _is_right(case: Any) -> bool:
    """Whether a request is meant to be right by the document."""
    if case.headers.get("If-Match") == "":
        return False  # schemathesis takes it for right in its coverage phase, although the pattern does not allow it
    return case.meta is not None and case.meta.generation.mode.value == "positive"
