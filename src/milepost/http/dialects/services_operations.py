"""Which operations does the Services API have, and what does its document say of each?"""

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any, Final

from msgspec import Meta

from milepost.http.dialect import Answer, AnyQuery, Operation, Refusals
from milepost.http.dialects.services_errors import NO_TASK
from milepost.http.dialects.services_shapes import (
    ChainQuery,
    CreateBody,
    ErrorBody,
    ListQuery,
    ReadQuery,
    StateBody,
    TaskBody,
    TaskNumber,
    UrlBody,
)

if TYPE_CHECKING:
    from milepost.http.dialects.services import Services

TASKS: Final = "/tasks"
TASK: Final = TASKS + "/{id}"

SESSION_USER: Final = "X-Spaaza-Session-User-Id"
SESSION_KEY: Final = "X-Spaaza-Session-Key"
SESSION_CHAIN: Final = "X-Spaaza-Session-Chain-Id"

_NUMBER: Final = {"pattern": "^[0-9]{1,16}$"}
_HEADERS: Final[Mapping[str, Any]] = {
    SESSION_USER: Annotated[str, Meta(description=f"The id of the key whose secret {SESSION_KEY} shows.")],
    SESSION_CHAIN: Annotated[
        str, Meta(description="The chain that the caller is at work in.", extra_json_schema=_NUMBER)
    ],
}
_ETAG: Final = {"ETag": "Version, dialect and query of this record."}
_SEEN: Final = _ETAG | {"Retry-After": "Seconds after which asking again makes sense; while it is not finished."}


def _refusals(texts: Mapping[int, str]) -> dict[int, Answer]:
    return {status: Answer(text, ErrorBody) for status, text in texts.items()}


_REFUSALS: Final = Refusals(ErrorBody, invalid=400)
_NO_TASK: Final = {404: NO_TASK}
_SEVERAL: Final = "Tasks of several chains have this id: name the chain."


def operations(services: "Services") -> list[Operation]:
    """All of them, in the order in which they are read about."""
    return [replace(operation, refusals=_REFUSALS) for operation in _operations(services)]


def _operations(services: "Services") -> list[Operation]:
    return [
        Operation(
            "POST",
            TASKS,
            services.create,
            summary="Create a task",
            description="It runs at once, or when its trigger says. The answer is the task as it stands then.",
            group="Tasks",
            query=AnyQuery,
            headers=_HEADERS,
            body=CreateBody,
            answers={services.created_status: Answer("It is created.", TaskBody, headers=_SEEN)}
            | _refusals(
                {
                    409: "Another task stands in the way.",
                }
            ),
        ),
        Operation(
            "GET",
            TASKS,
            services.list,
            summary="List tasks",
            description="Newest first.",
            group="Tasks",
            query=ListQuery,
            headers=_HEADERS,
            answers={200: Answer("The tasks.", list[TaskBody])},
        ),
        Operation(
            "GET",
            TASK,
            services.read,
            summary="Get a task",
            description="To be asked until its state is DONE or ERROR.",
            group="Tasks",
            parameters={"id": TaskNumber},
            query=ReadQuery,
            headers=_HEADERS,
            answers={
                200: Answer("The task.", TaskBody, headers=_SEEN),
                304: Answer("It is as the client has it.", media_type=None, headers=_ETAG),
            }
            | _refusals(_NO_TASK | {409: _SEVERAL}),
        ),
        Operation(
            "POST",
            TASK + "/execute",
            services.execute,
            summary="Execute a task now",
            description="Whatever its trigger says. The answer comes with its end.",
            group="Tasks",
            parameters={"id": TaskNumber},
            query=ChainQuery,
            headers=_HEADERS,
            answers={200: Answer("How it ended, or stands when the wait is over.", StateBody, headers=_SEEN)}
            | _refusals(_NO_TASK | {409: f"It is paused, or waits for others. Or: {_SEVERAL}"}),
        ),
        Operation(
            "GET",
            TASK + "/download_url",
            services.download_url,
            summary="Get the URL of an export's file",
            description="For whoever has it, without credentials, for an hour.",
            group="Tasks",
            parameters={"id": TaskNumber},
            query=ChainQuery,
            headers=_HEADERS,
            answers={
                200: Answer("Where the file is.", UrlBody, headers=_ETAG),
                304: Answer("It is as the client has it.", media_type=None, headers=_ETAG),
            }
            | _refusals(
                _NO_TASK
                | {409: f"It is no export, or not done. Or: {_SEVERAL}", 410: "The file is past its retention."}
            ),
        ),
    ]
