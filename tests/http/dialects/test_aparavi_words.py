"""The same end, and the same refusal, in the words of each generation of clients."""

from typing import Any

import msgspec
import pytest

from milepost import errors as refusals
from milepost.access.keyring import PROFILES, Profile
from milepost.errors import Fault, Invalid, ServiceError
from milepost.http.dialects.aparavi_words import (
    TaskNotFound,
    error_body,
    errors,
    failure_text,
    status_word,
)
from milepost.http.errors import Internal, MethodNotAllowed
from milepost.task import Failure, State, Task

PAGE = {
    "scheduled": "Created",
    "blocked": "Created",
    "queued": "Created",
    "running": "Running",
    "paused": "Paused",
    "succeeded": "Completed",
    "failed": "Failed",
    "cancelled": "Cancelled",
}
PACKAGES = PAGE | {"failed": "Completed", "cancelled": "Completed"}


def task(state: State, failure: Failure | None = None) -> Task:
    return Task("", "", "", "", 0, 0, state=state, failure=failure)


@pytest.mark.parametrize("profile", PROFILES)
def test_every_state_has_its_word(profile: Profile) -> None:
    words = {str(state): status_word(task(state), profile) for state in State}
    assert words == (PAGE if profile == "page" else PACKAGES)


@pytest.mark.parametrize("profile", PROFILES)
def test_only_what_failed_has_errors(profile: Profile) -> None:
    for state in State:
        cancelled = ["The task was cancelled."] if state is State.CANCELLED and profile != "page" else []
        assert errors(task(state), profile) == cancelled
    failed = task(State.FAILED, Failure("broken", "It broke."))
    assert (errors(failed, profile), failure_text(failed)) == (["It broke."], "It broke.")
    silent = task(State.FAILED, Failure("broken", ""))
    assert errors(silent, profile) == ["broken"], "an empty text is no error to a client"


def body(error: ServiceError, profile: Profile) -> Any:
    return msgspec.to_builtins(error_body(error, profile))


def test_an_unknown_task_is_refused_as_the_page_has_it_and_so_that_the_packages_read_it() -> None:
    published = {"error": "Task not found", "message": "The specified task does not exist or has been deleted"}
    assert body(TaskNotFound(), "page") == published | {"status": "Error"}
    assert (
        body(TaskNotFound(), "node")
        == body(TaskNotFound(), "python")
        == {
            "status": "Error",
            "error": {
                "message": "Task not found",
                "code": "RESOURCE_NOT_FOUND",
                "details": "The specified task does not exist or has been deleted",
            },
            "message": "The specified task does not exist or has been deleted",
        }
    )


@pytest.mark.parametrize(
    ("error", "title", "code", "detail"),
    [
        (refusals.Unauthenticated("…"), "Unauthorized", "AUTH_INVALID", "Invalid API key"),
        (refusals.Malformed("Not JSON."), "The request can't be read", "VALIDATION_ERROR", "Not JSON."),
        (refusals.NotFound("Nothing."), "Not found", "RESOURCE_NOT_FOUND", "Nothing."),
        (refusals.Forbidden("No."), "You may not do this", "FORBIDDEN", "No."),
        (refusals.Conflict("No."), "The task's state does not allow this", "CONFLICT", "No."),
        (refusals.Unavailable("Busy."), "Try again later", "UNAVAILABLE", "Busy."),
        (
            MethodNotAllowed("POST", ["GET"]),
            "This path does not take this method",
            "METHOD_NOT_ALLOWED",
            "This path does not take POST, but GET.",
        ),
        (
            Internal(),
            "Something went wrong in the server",
            "INTERNAL_ERROR",
            "The server could not carry this out. Its log says why.",
        ),
    ],
)
def test_other_refusals(error: ServiceError, title: str, code: str, detail: str) -> None:
    assert body(error, "page") == {"status": "Error", "error": title, "message": detail}
    packages = {"message": title, "code": code, "details": detail}
    assert body(error, "node") == {"status": "Error", "error": packages, "message": detail}


def test_what_is_wrong_is_named_as_fastapi_does() -> None:
    error = Invalid(
        Fault("This is required.", parameter="token"),
        Fault("Too long.", parameter="Content-Disposition"),
        Fault("No.", "/pipeline/components/1/a~1b~0"),
        Fault("No.", "/input/components"),
        Fault("Nothing.", ""),
        Fault("Odd."),
    )
    told = body(error, "python")
    assert told["detail"] == [
        {"loc": ["query", "token"], "msg": "This is required.", "type": "missing"},
        {"loc": ["header", "Content-Disposition"], "msg": "Too long.", "type": "value_error"},
        {"loc": ["body", "pipeline", "components", 1, "a/b~"], "msg": "No.", "type": "value_error"},
        {"loc": ["body", "components"], "msg": "No.", "type": "value_error"},
        {"loc": ["body"], "msg": "Nothing.", "type": "value_error"},
        {"loc": ["query"], "msg": "Odd.", "type": "value_error"},
    ]
    assert told["error"]["code"] == "VALIDATION_ERROR"
    assert told["message"].startswith("query.token: This is required.; header.Content-Disposition: Too long.; body.")


def test_a_name_of_digits_alone_is_a_name() -> None:
    digits = "9" * 5000
    assert body(Invalid(Fault("No.", f"/input/{digits}/\u0663")), "node")["detail"][0]["loc"] == [
        "body",
        digits,
        "\u0663",
    ]
