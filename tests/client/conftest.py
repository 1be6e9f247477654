from collections.abc import Iterator

import pytest

from tests.client.flavours import Flavour
from tests.client.speaker import Speaker, speaking


@pytest.fixture(params=["async", "blocking"])
def flavour(request: pytest.FixtureRequest) -> Flavour:
    """The tests run with either client."""
    flavour: Flavour = request.param
    return flavour


@pytest.fixture
def speaker() -> Iterator[Speaker]:
    """A server that answers as the page says."""
    with speaking() as server:
        yield server


@pytest.fixture(autouse=True)
def _unset(monkeypatch: pytest.MonkeyPatch) -> None:
    """What would change how clients are made."""
    for name in (
        "MILEPOST_KEY",
        "MILEPOST_URL",
        "APARAVI_APIKEY",
        "HTTP_PROXY",
        "HTTPS_PROXY",
        "ALL_PROXY",
        "NO_PROXY",
    ):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
