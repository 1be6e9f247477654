"""What the client makes of what servers say."""

import pickle
import re
from typing import Any

import httpx2
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from milepost.client.aparavi.errors import AparaviError, NoTaskStarted, TaskNotFound
from milepost.client.aparavi.methods import (
    DELETE,
    GET,
    SEND,
    START,
    Answer,
    Method,
    Reply,
    answer,
    has_ended,
    silence,
    started,
)


def reply(status: int, body: Any) -> Reply:
    return Reply(status, httpx2.Headers(), body if isinstance(body, bytes) else msgspec.json.encode(body))


def refusal(status: int, body: Any, method: Method = GET) -> AparaviError:
    with pytest.raises(AparaviError) as caught:
        answer(method, reply(status, body), str)
    return caught.value


@pytest.mark.parametrize(
    ("body", "told"),
    [
        ({"error": "Bad pipeline", "message": "It has no components"}, "Bad pipeline: It has no components"),
        ({"status": "Error", "error": {"message": "Bad", "code": "VALIDATION_ERROR"}, "message": "x"}, "Bad: x"),
        ({"error": {"code": "X"}, "message": "Told elsewhere"}, "Told elsewhere"),
        ({"error": None, "detail": "Just this"}, "Just this"),
        (
            {"detail": [{"loc": ["body", "pipeline", 0], "msg": "Field required", "type": "missing"}, {"msg": "No"}]},
            "body.pipeline.0: Field required; No",
        ),
        ({"errors": ["The first", {"message": "second"}, {}]}, "The first; second"),
        ({"error": "Twice", "message": "Twice"}, "Twice"),
    ],
)
@pytest.mark.parametrize("status", [200, 400, 422, 500])
def test_what_went_wrong_is_told_in_the_words_of_the_server(status: int, body: dict[str, Any], told: str) -> None:
    error = refusal(status, {"status": "Error", **body} if status == 200 else body, START)
    assert (str(error), error.status) == (f"Error starting task: {told}", status)
    assert type(error) is AparaviError


def test_a_long_message_is_cut() -> None:
    assert str(refusal(400, {"error": "x" * 5000})) == "Error getting task status: " + "x" * 1000
    assert str(refusal(200, {"status": "Error", "error": "x" * 5000})) == "Error getting task status: " + "x" * 1000


FOREIGN = "The server does not answer as Aparavi's does. Is the base URL right?"


@pytest.mark.parametrize("body", [b"", b"<h1>Not here</h1>", b"[1]", b"\xff", b"[" * 100_000, {}, {"errors": 3}])
def test_who_does_not_answer_so_is_named_so(body: Any) -> None:
    """A page that some other server has not is no word on the task."""
    error = refusal(404, body)
    assert str(error) == f"Error getting task status: 404 Not Found. {FOREIGN}"
    assert type(error) is AparaviError
    assert str(refusal(599, body)) == f"Error getting task status: 599. {FOREIGN}"


@pytest.mark.parametrize("body", [b"", b"<h1>Welcome</h1>", b"[1]"])
def test_a_success_that_says_nothing(body: bytes) -> None:
    assert str(refusal(200, body)) == f"Error getting task status: {FOREIGN}"


def test_an_error_without_words() -> None:
    assert str(refusal(200, {"status": "Error"})) == "Error getting task status: Error"


@pytest.mark.parametrize("told", ["Task not found", "task x NOT FOUND", {"message": "The task was not found"}])
@pytest.mark.parametrize("method", [GET, DELETE, SEND])
def test_not_found_with_a_200(method: Method, told: Any) -> None:
    error = refusal(200, {"status": "Error", "error": told}, method)
    assert isinstance(error, TaskNotFound)
    assert str(error) == f"{method.trouble}: Task not found"


def test_a_start_finds_no_task_and_misses_none() -> None:
    for status in (200, 404):
        error = refusal(status, {"status": "Error", "error": "Folder not found"}, START)
        assert type(error) is AparaviError
        assert str(error) == "Error starting task: Folder not found"


def test_a_delivery_that_fails_for_want_of_something_else_misses_no_task() -> None:
    error = refusal(200, {"status": "Error", "error": "Font not found"}, SEND)
    assert type(error) is AparaviError
    assert str(error) == "Error sending to webhook: Font not found"


def test_what_an_answer_leaves_out() -> None:
    assert answer(DELETE, reply(200, {"status": "OK"}), str) == {"data": {}, "message": "Task deleted successfully"}
    assert answer(GET, reply(200, {"data": [1], "message": ""}), str) == {"data": {}, "message": GET.message}
    assert answer(GET, reply(202, {"data": {"x": 1}, "message": "Well"}), str) == {"data": {"x": 1}, "message": "Well"}


@pytest.mark.parametrize(
    "data", [{}, {"token": "t"}, {"type": "cpu"}, {"token": 1, "type": "cpu"}, {"token": "t", "type": ""}]
)
def test_a_start_without_token_or_type(data: dict[str, Any]) -> None:
    said = reply(200, {"status": "OK", "data": data})
    with pytest.raises(AparaviError, match=r"Error starting task: The answer has no token and type\."):
        started(answer(START, said, str), said, str)
    said = reply(200, {"status": "OK", "data": data, "errors": ["No licence"]})
    with pytest.raises(AparaviError, match="Error starting task: No licence"):
        started(answer(START, said, str), said, str)


def test_errors_cross_processes() -> None:
    for error in (NoTaskStarted(), TaskNotFound("Not there", status=404)):
        again = pickle.loads(pickle.dumps(error))
        assert (type(again), str(again), again.status) == (type(error), str(error), error.status)


def test_how_a_connection_failed_is_told() -> None:
    refused = httpx2.ConnectError("[Errno 111] Connection refused")
    assert str(silence(GET, refused, 5, str)) == "Error getting task status: no answer (Connection refused)"
    assert str(silence(GET, httpx2.ReadError(""), 5, str)) == "Error getting task status: no answer (ReadError)"


@pytest.mark.parametrize("status", ["Created", "Running", "Paused", "completed", "unknown", None])
def test_what_has_not_ended(status: str | None) -> None:
    assert not has_ended({"status": status, "completed": False})


json = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["status", "error", "message", "detail", "errors", "data", "loc", "msg"]), inner, max_size=4
        )
    ),
    max_leaves=12,
)


@given(
    st.integers(100, 599),
    st.binary(max_size=50) | json.map(msgspec.json.encode),
    st.sampled_from([START, GET, DELETE, SEND]),
)
def test_whatever_is_said_it_is_an_answer_or_an_error_with_the_calls_words(
    status: int, body: bytes, method: Method
) -> None:
    refused: AparaviError | None = None
    answered: Answer = {"data": {}, "message": ""}
    try:
        answered = answer(method, reply(status, body), str)
    except AparaviError as error:
        refused = error
    assert (refused is None) == bool(answered["message"])
    assert refused is not None or 200 <= status < 300
    assert isinstance(answered["data"], dict)
    assert refused is None or re.fullmatch(f"{method.trouble}: .+", str(refused), re.DOTALL)
