"""Both clients, the async and the blocking one, as one: tests say once what holds for both."""

import inspect
from typing import Any, Literal

from milepost.client.aparavi import AparaviDTC, AsyncAparaviDTC

Flavour = Literal["async", "blocking"]


class Time:
    """A clock that stands still, but for pauses; these are noted."""

    def __init__(self) -> None:
        self.at = 1000.0
        self.pauses: list[float] = []

    def __call__(self) -> float:
        return self.at

    def sleep(self, seconds: float) -> None:
        self.pauses.append(seconds)
        self.at += seconds

    async def sleep_async(self, seconds: float) -> None:
        self.sleep(seconds)


class Client:
    """A client whose calls are awaited, whichever it is.

    `hurried`: its pauses take no time, and random gives its highest.
    """

    def __init__(
        self, flavour: Flavour, url: str | None, key: str | None = None, *, hurried: bool = True, **options: Any
    ) -> None:
        self.time = Time()
        self.real: Any
        sleep = self.time.sleep_async if flavour == "async" else self.time.sleep
        given = {"clock": self.time, "random": lambda: 1.0, "sleep": sleep} if hurried else {}
        self.real = (AsyncAparaviDTC if flavour == "async" else AparaviDTC)(key, url, **{**given, **options})

    async def __aenter__(self) -> "Client":
        assert await awaited(_entered(self.real)) is self.real
        return self

    async def __aexit__(self, *error: Any) -> None:
        await awaited(_left(self.real))

    async def call(self, method: str, *arguments: Any, **options: Any) -> Any:
        """Call a method, and wait for what it gives."""
        return await awaited(getattr(self.real, method)(*arguments, **options))


def _entered(client: Any) -> Any:
    return client.__aenter__() if isinstance(client, AsyncAparaviDTC) else client.__enter__()


def _left(client: Any) -> Any:
    nothing = (None, None, None)
    return client.__aexit__(*nothing) if isinstance(client, AsyncAparaviDTC) else client.__exit__(*nothing)


async def awaited(given: Any) -> Any:
    """What comes of it, where it has to be awaited."""
    return await given if inspect.isawaitable(given) else given
