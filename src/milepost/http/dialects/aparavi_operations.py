"""Which operations does Aparavi's API have, what does it take, and what does its document say of each?"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, Final

import msgspec
from msgspec import Meta

from milepost.http.dialect import Answer, AnyQuery, Operation
from milepost.http.dialects.aparavi_answers import (
    AnyBody,
    CheckedBody,
    EndedBody,
    OutcomeBody,
    StartedBody,
    StatusBody,
)
from milepost.http.dialects.aparavi_words import ErrorBody
from milepost.http.fields import Whole
from milepost.http.payload import MEDIA_TYPES
from milepost.start import MAX_TEXT

if TYPE_CHECKING:
    from milepost.http.dialects.aparavi import Aparavi

TASK: Final = "/task"

_ETAG: Final = {"ETag": "Version, dialect and profile of this record."}
_RETRY: Final = {"Retry-After": "Seconds after which asking again makes sense; on tasks that are not finished."}
_COMPONENT: Final = {
    "type": "object",
    "properties": {
        "id": {"type": "string"},
        "name": {"type": "string"},
        "provider": {"type": "string"},
        "config": {"type": "object"},
        "input": {"type": "array", "items": {"type": "object"}},
    },
    "required": ["provider"],
}
_PIPELINE: Final[dict[str, Any]] = {
    "type": "object",
    "properties": {"source": {"type": "string"}, "components": {"type": "array", "items": _COMPONENT}},
    "required": ["components"],
}
_ALONE: Final = {**_PIPELINE, "properties": {**_PIPELINE["properties"], "pipeline": False}}
_UNDER: Final = {"type": "object", "properties": {"pipeline": _PIPELINE}, "required": ["pipeline"]}

PipelineBody = Annotated[
    dict[str, Any],
    Meta(
        description="A pipeline, alone or under `pipeline`.",
        extra_json_schema={"anyOf": [_UNDER, _ALONE]},
    ),
]
Token = Annotated[
    str, Meta(description="What the start has told, or `task_` and the id: which task it is. It gives no rights.")
]
Kind = Annotated[str | None, Meta(description="What the start has told; there is but one.")]


class Threads(Whole):
    """How many threads a client asks for."""

    least = 1
    most = 16


class StartQuery(msgspec.Struct, frozen=True):
    """How to start a pipeline."""

    name: Annotated[str | None, Meta(description=f"The task's title, up to {MAX_TEXT} characters.")] = None
    threads: Annotated[Threads | None, Meta(description="Kept in the metadata; what runs it decides.")] = None


class TaskQuery(msgspec.Struct, frozen=True):
    """Which task."""

    token: Token
    type: Kind = None


class ServicesQuery(msgspec.Struct, frozen=True):
    """Which services."""

    service: Annotated[str | None, Meta(description="One of them.")] = None


def _refusals(words: Mapping[int, str]) -> dict[int, Answer]:
    return {status: Answer(text, ErrorBody) for status, text in words.items()}


_UNKNOWN: Final = _refusals(
    {
        404: "There is no such task, or none that the caller may see. To the profile `python`: with status 200.",
    }
)


def operations(aparavi: "Aparavi") -> list[Operation]:
    """All of them, in the order in which they are read about."""
    return [*_tasks(aparavi), *_pipelines(aparavi), *_server(aparavi)]


def _tasks(aparavi: "Aparavi") -> list[Operation]:
    return [
        Operation(
            "PUT",
            TASK,
            aparavi.start,
            summary="Start a pipeline",
            description="One whose source is a `webhook` stands open and takes deliveries; any other runs.",
            group="Tasks",
            query=StartQuery,
            body=PipelineBody,
            answers={200: Answer("It is started.", StartedBody)},
        ),
        Operation(
            "GET",
            TASK,
            aparavi.read,
            summary="Read a task",
            group="Tasks",
            query=TaskQuery,
            answers={
                200: Answer("The task.", StatusBody, headers=_ETAG | _RETRY),
                304: Answer("Nothing has changed.", media_type=None, headers=_ETAG | _RETRY),
            }
            | _UNKNOWN,
        ),
        Operation(
            "DELETE",
            TASK,
            aparavi.end,
            summary="End a task",
            description="Cancels it unless it has ended. Its record stays until its retention is over.",
            group="Tasks",
            query=TaskQuery,
            answers={200: Answer("It ends, or has ended.", EndedBody)} | _UNKNOWN,
        ),
        Operation(
            "PUT",
            "/webhook",
            aparavi.deliver,
            summary="Deliver to a standing pipeline",
            description=(
                "The body is one file, of any media type, which a `Content-Disposition` may name, or plain text; or "
                "several files as a form. They are worked on together, and the answer tells what became of them."
            ),
            group="Tasks",
            query=TaskQuery,
            media_types=MEDIA_TYPES,
            answers={
                200: Answer("What became of it. Where it failed, an `ErrorBody` with the same data.", OutcomeBody),
                202: Answer("It is still worked on: the server is about to stop, or it took too long.", OutcomeBody),
            }
            | _UNKNOWN
            | _refusals(
                {
                    409: "The task takes no deliveries, or none any more.",
                    413: "The files are too large.",
                    422: "The token is missing, or there is no file.",
                }
            ),
        ),
    ]


def _pipelines(aparavi: "Aparavi") -> list[Operation]:
    return [
        Operation(
            "POST",
            "/pipe/validate",
            aparavi.validate,
            summary="Check a pipeline",
            description="As a start does; nothing is started. What is wrong is told with status 200.",
            group="Pipelines",
            body=PipelineBody,
            changes=True,
            answers={
                200: Answer("Whether it could be started; if not, an `ErrorBody` with the same data.", CheckedBody)
            },
        ),
        Operation(
            "GET",
            "/services",
            aparavi.services,
            summary="List the providers of components",
            group="Pipelines",
            query=ServicesQuery,
            answers={200: Answer("Providers, by name.", AnyBody)} | _refusals({404: "There is no such service."}),
        ),
    ]


def _server(aparavi: "Aparavi") -> list[Operation]:
    return [
        Operation(
            "GET",
            "/version",
            aparavi.version,
            summary="Which version this is",
            group="Server",
            query=AnyQuery,
            answers={200: Answer("The version.", AnyBody)},
        ),
        Operation(
            "GET",
            "/status",
            aparavi.status,
            summary="How the server is",
            group="Server",
            query=AnyQuery,
            answers={200: Answer("Workers, and tasks by state.", AnyBody)},
        ),
    ]
