import inspect
import types
from typing import Any

import msgspec
import pytest

from milepost import errors
from milepost.errors import Conflict, Fault, Invalid, ServiceError
from milepost.http import errors as http_errors
from milepost.http.problems import STATUSES, Problem, headers_of, problem_details, status_of


def refusals(module: types.ModuleType) -> list[type[ServiceError]]:
    return [
        kind
        for _, kind in inspect.getmembers(module, inspect.isclass)
        if issubclass(kind, ServiceError) and kind is not ServiceError
    ]


def test_every_refusal_has_a_status() -> None:
    assert STATUSES.keys() == {*refusals(errors), *refusals(http_errors)}
    assert len({kind.code for kind in STATUSES}) == len(STATUSES), "no two have the same code"


EXAMPLES: list[ServiceError] = [
    Invalid(Fault("Wrong.", "/a/0"), Fault("Unknown.", parameter="b")),
    http_errors.MethodNotAllowed("PUT", ["GET", "HEAD"]),
    http_errors.UnsupportedMediaType("No.", ("application/json",)),
    http_errors.UnsupportedMediaType("No."),
    http_errors.RangeNotSatisfiable(5),
    http_errors.Internal(),
    Conflict("No.", state="running"),
    errors.UniqueKeyConflict("No.", task="1"),
    errors.DependentsConflict("No.", dependents=["1", "2"]),
    *(kind("No.") for kind in STATUSES if kind.__init__ is ServiceError.__init__),
]


@pytest.mark.parametrize("error", EXAMPLES, ids=lambda error: error.code)
def test_a_refusal_is_told_as_problem_details(error: ServiceError) -> None:
    response = problem_details(error)
    assert response.status_code == status_of(error) == STATUSES[type(error)]
    assert response.headers["content-type"] == "application/problem+json"
    assert response.headers["cache-control"] == "no-store"
    said: dict[str, Any] = msgspec.json.decode(response.body)
    assert said["type"] == f"/problems/{error.code}"
    assert (said["title"], said["status"], said["detail"]) == (error.title, response.status_code, error.detail)
    documented = {field.encode_name for field in msgspec.structs.fields(Problem)}
    assert said.keys() <= documented, "the document knows every member"


def test_all_that_is_wrong_is_listed_with_its_place() -> None:
    said = msgspec.json.decode(problem_details(EXAMPLES[0]).body)
    assert said["errors"] == [{"detail": "Wrong.", "pointer": "/a/0"}, {"detail": "Unknown.", "parameter": "b"}]


def test_facts_stand_beside_the_text() -> None:
    assert msgspec.json.decode(problem_details(Conflict("No.", state="running")).body)["state"] == "running"


@pytest.mark.parametrize(
    ("error", "headers"),
    [
        (http_errors.MethodNotAllowed("PUT", ["GET", "HEAD"]), {"allow": "GET, HEAD"}),
        (http_errors.UnsupportedMediaType("No.", ("a/b", "c/d")), {"accept": "a/b, c/d"}),
        (http_errors.RangeNotSatisfiable(5), {"content-range": "bytes */5"}),
        (errors.Unauthenticated("No."), {"www-authenticate": "Bearer"}),
        (errors.NotReady("No."), {"retry-after": "2"}),
        (errors.Unavailable("No."), {"retry-after": "1"}),
        (errors.Conflict("No."), {}),
    ],
    ids=lambda value: getattr(value, "code", ""),
)
def test_headers_go_with_a_refusal(error: ServiceError, headers: dict[str, str]) -> None:
    assert headers_of(error) == headers


def test_a_refusal_of_somebody_else_s_has_a_status_too() -> None:
    class Quota(errors.Forbidden):
        code = "quota"

    class Odd(ServiceError):
        code = title = "odd"

    assert status_of(Quota("No.")) == 403
    assert status_of(Odd("No.")) == 500
