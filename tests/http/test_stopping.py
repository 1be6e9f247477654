import asyncio

from milepost.http.stopping import Stopping


def test_who_asked_is_called_and_who_takes_it_back_is_not() -> None:
    stopping, called = Stopping(), list[str]()

    def one() -> None:
        called.append("one")

    def two() -> None:
        called.append("two")

    stopping.call(one)
    stopping.call(two)
    stopping.leave(two)
    stopping.leave(two)
    assert called == []
    stopping.set()
    assert called == ["one"]
    stopping.call(two)
    assert called == ["one", "two"], "it is set already"


async def test_it_can_be_waited_for() -> None:
    stopping = Stopping()
    waiting = asyncio.create_task(stopping.wait())
    await asyncio.sleep(0)
    stopping.set()
    assert await waiting
    assert stopping.is_set()
