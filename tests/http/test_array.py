"""How does a JSON array leave that may be larger than what is to be in memory?"""

from collections.abc import AsyncGenerator

import httpx2
import pytest

from milepost.errors import Unauthenticated
from milepost.http.array import WHOLE, json_array

from .conftest import served


class Source:
    """Gives bunches of elements, and counts them."""

    def __init__(self, *bunches: list[bytes], error: Exception | None = None) -> None:
        self.given = 0
        self._all = bunches
        self._error = error

    async def bunches(self) -> AsyncGenerator[list[bytes], None]:
        for bunch in self._all:
            self.given += 1
            yield list(bunch)
        if self._error is not None:
            raise self._error


@pytest.mark.parametrize("bunches", [[], [[]], [[b"1"]], [[b"1", b"2"], [], [b"3"]]])
async def test_a_small_array_leaves_with_its_length(bunches: list[list[bytes]]) -> None:
    response = await json_array(Source(*bunches).bunches())
    assert response.body == b"[" + b",".join(element for bunch in bunches for element in bunch) + b"]"
    assert response.headers["content-length"] == str(len(response.body))


async def test_a_large_array_leaves_as_it_is_made() -> None:
    large = b'"%b"' % (b"x" * WHOLE)
    source = Source([b"1"], [b"2", large], [], [b"3"], [large, b"4"])
    response = await json_array(source.bunches())
    assert source.given == 2
    async with served(response) as url, httpx2.AsyncClient(timeout=10) as client:
        answer = await client.get(url)
    assert answer.json() == [1, 2, "x" * WHOLE, 3, "x" * WHOLE, 4]
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["x-content-type-options"] == "nosniff"


async def test_what_fails_at_first_is_raised() -> None:
    with pytest.raises(Unauthenticated):
        await json_array(Source([b"1"], error=Unauthenticated("No.")).bunches())


async def test_who_is_not_to_see_more_is_cut_off() -> None:
    source = Source([b'"%b"' % (b"x" * WHOLE)], [b"2"], error=Unauthenticated("No."))
    async with served(await json_array(source.bunches())) as url, httpx2.AsyncClient(timeout=10) as client:
        with pytest.raises(httpx2.RemoteProtocolError):
            await client.get(url)
