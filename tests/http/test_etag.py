import pytest
from starlette.requests import Request

from milepost.access.principal import LOCAL
from milepost.errors import Invalid, NotFound, PreconditionFailed
from milepost.http.dialect import Call, NoQuery
from milepost.http.etag import etag, expected_version, is_unchanged
from milepost.http.stopping import Stopping
from milepost.service import Service

from .conftest import SHARE, Tasks, admitted


def request(**headers: str) -> Request:
    raw = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    return Request({"type": "http", "headers": raw})


def test_a_tag_says_version_dialect_and_query() -> None:
    assert etag(12, "native") == '"12-native"'
    assert etag(12, "native", "include=input") == '"12-native-include=input"'


@pytest.mark.parametrize(
    ("condition", "unchanged"),
    [
        ('"12-native"', True),
        ('W/"12-native"', True),
        ('"1-native", "12-native"', True),
        ("*", True),
        ('"11-native"', False),
        ('"12-quant"', False),
        ("12-native", False),
        ("", False),
    ],
)
def test_what_the_client_has_is_unchanged(condition: str, unchanged: bool) -> None:
    assert is_unchanged(request(if_none_match=condition), '"12-native"') is unchanged


def test_without_a_condition_nothing_is_known() -> None:
    assert not is_unchanged(request(), '"12-native"')


async def expected(service: Service, condition: str, task_id: str) -> int | None:
    asked = Call(request(if_match=condition), service, LOCAL, {}, NoQuery(), None, Stopping(), SHARE, admitted)
    return await expected_version(asked, "native", task_id)


@pytest.mark.parametrize(
    ("condition", "version"),
    [
        ("*", None),
        ('"12-native"', 12),
        ('"12-native-include=input"', 12),
        ('"12-native", "12-native-include=input"', 12),
        ('W/"12-native"', -1),
        ('"12-quant"', -1),
        ('"12-nat"', -1),
        ('"12-natively"', -1),
        ('"x-native"', -1),
        ('"٣-native"', -1),
        (f'"{"9" * 30}-native"', -1),
        ('""', -1),
        (', "12-native" ,, W/"13-native",', 12),
    ],
)
async def test_the_version_that_a_condition_asks_for(condition: str, version: int | None, service: Service) -> None:
    assert await expected(service, condition.encode().decode("latin-1"), "no matter") == version


@pytest.mark.parametrize("condition", ["12", "", ",", '"12-native', '"1-native" "2-native"', '*, "12-native"'])
async def test_what_is_no_condition_is_refused(condition: str, service: Service) -> None:
    with pytest.raises(Invalid) as caught:
        await expected(service, condition, "no matter")
    assert caught.value.faults[0].parameter == "If-Match"


async def test_of_several_versions_the_present_one_counts(service: Service, tasks: Tasks) -> None:
    task = await tasks.start()
    assert await expected(service, '"7-native", "1-native"', task.id) == 1
    with pytest.raises(PreconditionFailed):
        await expected(service, '"7-native", "8-native"', task.id)
    with pytest.raises(NotFound):
        await expected(service, '"7-native", "1-native"', "0" * 32)
