"""Which operations does the native API have, and what does its document say of each?"""

from typing import TYPE_CHECKING, Final

from milepost.http.body import without_body
from milepost.http.dialect import JSON, Answer, Handler, NoQuery, Operation
from milepost.http.dialects.native_answers import (
    DeletedBody,
    LogBody,
    OutcomeBody,
    TaskBody,
    TaskList,
    TypeBody,
    TypeList,
)
from milepost.http.dialects.native_callbacks import CallbackList
from milepost.http.dialects.native_requests import (
    DeleteQuery,
    DeliveryBody,
    Disposition,
    FollowQuery,
    IfMatch,
    IfNoneMatch,
    IfRange,
    Key,
    LastEventId,
    ListQuery,
    LogQuery,
    Prefer,
    Range,
    ReadQuery,
    RetryQuery,
    StartBody,
    StartLine,
    TaskId,
    TypeName,
    UpdateBody,
)
from milepost.http.events import EVENT_STREAM
from milepost.http.lines import NDJSON
from milepost.http.problems import problem_answers

if TYPE_CHECKING:
    from milepost.http.dialects.native import Native

TASKS: Final = "/v1/tasks"
TASK: Final = TASKS + "/{id}"
TYPES: Final = "/v1/types"
MERGE_PATCH: Final = "application/merge-patch+json"

_ETAG: Final = {"ETag": "Version, dialect and query of this record."}
_RETRY: Final = {"Retry-After": "Seconds after which asking again makes sense; on records that are not finished."}
_STARTED: Final = {"Location": "Where the record is."} | _ETAG | _RETRY | {"Preference-Applied": "The wait, if any."}
_NO_TASK: Final = "There is no such task, or none that the caller may see."


_LEADS_TO: Final = {
    name: {"id": "$response.body#/id"}
    for name in (
        *("read", "update", "delete", "follow", "logs", "result", "cancel", "pause", "resume", "retry"),
        *("deliver", "callbacks"),
    )
}


def operations(native: "Native") -> list[Operation]:
    """All of them, in the order in which they are read about."""
    return [
        *_collection(native),
        *_record(native),
        *_standing(native),
        *_following(native),
        *_actions(native),
        *_types(native),
    ]


def _collection(native: "Native") -> list[Operation]:
    return [
        Operation(
            "POST",
            TASKS,
            native.start,
            summary="Start a task",
            description="It is durable when this answers. The answer is the record as it stands then.",
            group="Tasks",
            headers={"Idempotency-Key": Key, "Prefer": Prefer},
            body=StartBody,
            answers={
                202: Answer("It is started.", TaskBody, headers=_STARTED, links=_LEADS_TO),
                200: Answer("It is finished already.", TaskBody, headers=_STARTED, links=_LEADS_TO),
            }
            | problem_answers(
                {
                    403: "No right to start this here, or for this owner.",
                    409: "An unfinished task has this unique key.",
                    410: "The task that this Idempotency-Key stands for has been deleted.",
                    422: "Something in the body is wrong, or the Idempotency-Key stands for another body.",
                }
            ),
        ),
        Operation(
            "POST",
            TASKS + ":batch",
            native.start_many,
            summary="Start many tasks",
            description=(
                "The body is any number of lines of JSON (NDJSON), each a `StartLine`. The answer is as many lines, "
                "each an `OutcomeBody`, in the same order; empty lines are passed over. A line that is refused fails "
                "alone, with a `Problem` whose pointers lead into it. Outcomes are sent while lines still come in; "
                "what an outcome says was started is durable. When the server is about to stop before the end, the "
                "last outcome has status 503, and no line from that on was heeded."
            ),
            group="Tasks",
            body=StartLine,
            lines=True,
            media_types=(NDJSON,),
            answers={200: Answer("The outcomes, one a line.", OutcomeBody, media_type=NDJSON)}
            | problem_answers(
                {
                    422: "An Idempotency-Key was sent as a header: each line has its own.",
                }
            ),
        ),
        Operation(
            "GET",
            TASKS,
            native.list,
            summary="List tasks",
            description="Newest first. `next` leads to the following page. A page may have fewer tasks than `limit`: "
            "large records end it early. After the last one `next` is null.",
            group="Tasks",
            query=ListQuery,
            answers={200: Answer("A page of tasks.", TaskList)},
        ),
    ]


def _record(native: "Native") -> list[Operation]:
    return [
        Operation(
            "GET",
            TASK,
            native.read,
            summary="Read a task",
            description="With `wait`, answers as soon as the record changes, whoever changes it, or time is up.",
            group="Tasks",
            parameters={"id": TaskId},
            query=ReadQuery,
            headers={"If-None-Match": IfNoneMatch},
            answers={
                200: Answer("The record.", TaskBody, headers=_ETAG | _RETRY),
                304: Answer("Nothing has changed.", media_type=None, headers=_ETAG | _RETRY),
            }
            | problem_answers({404: _NO_TASK}),
        ),
        Operation(
            "PATCH",
            TASK,
            native.update,
            summary="Change a task",
            description=str(UpdateBody.__doc__),
            group="Tasks",
            parameters={"id": TaskId},
            headers={"If-Match": IfMatch},
            body=UpdateBody,
            media_types=(MERGE_PATCH, JSON),
            answers={200: Answer("The record after it.", TaskBody, headers=_ETAG | _RETRY)}
            | problem_answers(
                {
                    404: _NO_TASK,
                    409: "Its state, or that the engine runs it, does not allow this.",
                    412: "It has changed since the version that If-Match names.",
                }
            ),
        ),
        Operation(
            "DELETE",
            TASK,
            native.delete,
            summary="Delete a finished task",
            group="Tasks",
            parameters={"id": TaskId},
            query=DeleteQuery,
            answers={200: Answer("It is gone.", DeletedBody)}
            | problem_answers(
                {
                    403: "Only admins delete.",
                    404: _NO_TASK,
                    409: "It is not finished, or others depend on it.",
                }
            ),
        ),
    ]


def _standing(native: "Native") -> list[Operation]:
    return [
        Operation(
            "POST",
            TASK + "/deliveries",
            native.deliver,
            summary="Deliver to a standing task",
            description=(
                "An external task of a registered type takes deliveries while it is running. Each starts a child, "
                "which a worker runs; the answer is its record. The body is JSON, or a file: any bytes, sent as "
                "`application/octet-stream`, or as whatever they are with a `Content-Disposition` that names them."
            ),
            group="Tasks",
            parameters={"id": TaskId},
            headers={"Idempotency-Key": Key, "Prefer": Prefer, "Content-Disposition": Disposition},
            body=DeliveryBody,
            takes_files=True,
            answers={
                202: Answer("A child is started.", TaskBody, headers=_STARTED, links=_LEADS_TO),
                200: Answer("It is finished already.", TaskBody, headers=_STARTED, links=_LEADS_TO),
            }
            | problem_answers(
                {
                    404: _NO_TASK,
                    409: "It is no standing task, or takes nothing now.",
                    410: "The child that this Idempotency-Key stands for has been deleted.",
                    422: "Something in the body is wrong, or the Idempotency-Key stands for another body.",
                }
            ),
        )
    ]


def _following(native: "Native") -> list[Operation]:
    return [
        Operation(
            "GET",
            TASK + "/events",
            native.follow,
            summary="Follow a task",
            description=(
                "Server-sent events. `log` carries an `EntryBody`; `task` a `TaskBody`, with its version as id, "
                "once all entries up to that version were sent. The stream ends when the task has; coming back "
                "with the last id is then answered by 204."
            ),
            group="Progress and result",
            parameters={"id": TaskId},
            query=FollowQuery,
            headers={"Last-Event-ID": LastEventId},
            answers={
                200: Answer("The stream.", media_type=EVENT_STREAM),
                204: Answer("The task is finished, and its last version was seen.", media_type=None),
            }
            | problem_answers({404: _NO_TASK}),
        ),
        Operation(
            "GET",
            TASK + "/logs",
            native.logs,
            summary="Read a task's log",
            description="Oldest first. A page may have fewer entries than `limit`; an empty one is the end so far.",
            group="Progress and result",
            parameters={"id": TaskId},
            query=LogQuery,
            answers={200: Answer("Entries, in order.", LogBody)} | problem_answers({404: _NO_TASK}),
        ),
        Operation(
            "GET",
            TASK + "/callbacks",
            native.callbacks,
            summary="List a task's callbacks",
            description="What was told of its ends to the URL that its start named, and what is still to be.",
            group="Progress and result",
            parameters={"id": TaskId},
            answers={200: Answer("One for each end.", CallbackList)} | problem_answers({404: _NO_TASK}),
        ),
        Operation(
            "GET",
            TASK + "/result",
            native.result,
            summary="Fetch a task's result",
            description="With the media type that the task gave it; JSON unless it is a file.",
            group="Progress and result",
            parameters={"id": TaskId},
            headers={"Range": Range, "If-Range": IfRange, "If-None-Match": IfNoneMatch},
            answers={
                200: Answer("The result.", media_type="*/*", headers={"ETag": "Its SHA-256."}),
                206: Answer("The range.", media_type="*/*", headers={"Content-Range": "Which bytes these are."}),
                304: Answer("The client has it.", media_type=None),
            }
            | problem_answers(
                {
                    404: _NO_TASK + " Or it ended without a result.",
                    409: "It is not finished, or did not succeed.",
                    410: "The result is past its retention.",
                    416: "The range lies outside the result.",
                }
            ),
        ),
    ]


def _actions(native: "Native") -> list[Operation]:
    asked = "It is asked to; it still runs, and the record shows the request."
    described = {
        "cancel": "A running task is asked to stop at its next checkpoint; any other ends at once.",
        "pause": (
            "A running task is asked to stop at its next checkpoint; one that waits for its time or its turn does not "
            "start. A blocked one waits already: pause what it waits for."
        ),
        "resume": "A paused task goes on; a pause that was only requested is taken back.",
        "retry": (
            "A failed or cancelled task begins again, with all its attempts and what it saved; and with it those that "
            "failed because of it."
        ),
    }
    handlers: dict[str, Handler] = {
        "cancel": without_body(native.cancel),
        "pause": without_body(native.pause),
        "resume": without_body(native.resume),
        "retry": without_body(native.retry),
    }
    return [
        Operation(
            "POST",
            f"{TASK}/{name}",
            handlers[name],
            summary=f"{name.capitalize()} a task",
            description=description,
            group="Control",
            parameters={"id": TaskId},
            query=RetryQuery if name == "retry" else NoQuery,
            answers={200: Answer("Done: the record after it.", TaskBody, headers=_ETAG | _RETRY)}
            | ({202: Answer(asked, TaskBody, headers=_ETAG | _RETRY)} if name in ("cancel", "pause") else {})
            | problem_answers(
                {
                    404: _NO_TASK,
                    409: "Its state does not allow this: `detail` says why.",
                    422: "A parameter is wrong, or there is a body.",
                }
            ),
        )
        for name, description in described.items()
    ]


def _types(native: "Native") -> list[Operation]:
    described = {
        "pause": "None of its tasks is started any more, in any tenant, by any worker; those that run go on.",
        "resume": "Its tasks are started again.",
    }
    handlers: dict[str, Handler] = {
        "pause": without_body(native.pause_type),
        "resume": without_body(native.resume_type),
    }
    return [
        Operation(
            "GET",
            TYPES,
            native.types,
            summary="List the task types",
            group="Task types",
            answers={200: Answer("All that can be started.", TypeList)},
        ),
        *(
            Operation(
                "POST",
                f"{TYPES}/{{name}}/{verb}",
                handlers[verb],
                summary=f"{verb.capitalize()} a task type",
                description=description,
                group="Task types",
                parameters={"name": TypeName},
                answers={200: Answer("The type after it.", TypeBody)}
                | problem_answers(
                    {
                        403: "Only a service may.",
                        404: "There is no such task type.",
                        422: "A parameter is wrong, or there is a body.",
                    }
                ),
            )
            for verb, description in described.items()
        ),
    ]
