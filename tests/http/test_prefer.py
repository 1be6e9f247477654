import pytest
from starlette.requests import Request

from milepost.http.prefer import LONGEST, preferred_wait


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ([], None),
        ([""], None),
        (["respond-async"], None),
        (["wait=10"], 10),
        (["respond-async, wait=10"], 10),
        (['Wait = "7"; foo=bar, handling=lenient'], 7),
        (["handling=lenient", "wait=3"], 3),
        (["wait=3, wait=9"], 3),
        (["wait=0"], 0),
        (["wait=3600"], LONGEST),
        (["wait"], None),
        (["wait=soon"], None),
        (["wait=1.5"], None),
        (["wait=-1"], None),
        (["await=5"], None),
        (["x; wait=5"], None),
    ],
)
def test_what_a_client_prefers_to_wait(headers: list[str], seconds: int | None) -> None:
    request = Request({"type": "http", "headers": [(b"prefer", value.encode()) for value in headers]})
    assert preferred_wait(request) == seconds
