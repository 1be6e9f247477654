"""Whom a name holds up that nobody resolves."""

import asyncio
import socket
import subprocess
import sys
from collections.abc import Iterator

import pytest

from milepost.engine.names import IN_ALL, OF_A_TENANT, Crowded, Names, Unresolved
from tests.engine.bench import WITHIN
from tests.engine.resolving import Hung, Known


@pytest.fixture
def hung() -> Iterator[Hung]:
    """Hangs on what ends with `.slow`."""
    hung = Hung(".slow")
    yield hung
    hung.end()


async def ask(names: Names, host: str, tenant: str = "acme") -> list[str]:
    return list(await asyncio.wait_for(names.addresses(host, 443, tenant), WITHIN))


async def leave(names: Names, *hosts: str, tenant: str = "acme") -> None:
    """Ask for names that nobody resolves, and leave."""
    asking = [asyncio.create_task(names.addresses(host, 443, tenant)) for host in hosts]
    await asyncio.sleep(0)
    for each in asking:
        each.cancel()
    found = await asyncio.gather(*asking, return_exceptions=True)
    assert [type(each) for each in found] == [asyncio.CancelledError] * len(hosts)


async def test_the_system_is_asked() -> None:
    assert "127.0.0.1" in await ask(Names(), "localhost")


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "fe80::1%lo"])
async def test_an_address_is_not_looked_up(host: str) -> None:
    known = Known([])
    assert await ask(Names(known), host) == [host]
    assert known.asked == []


@pytest.mark.parametrize("host", ["absent.invalid", "a" * 70 + ".example"])
async def test_a_name_that_is_not_known_is_told(host: str) -> None:
    names = Names(Known(socket.gaierror(-2, "Not known"))) if host == "absent.invalid" else Names()
    with pytest.raises(Unresolved, match="could not be resolved") as unresolved:
        await ask(names, host)
    assert not isinstance(unresolved.value, Crowded)


async def test_p6_names_of_one_tenant_that_hang_leave_others_room(hung: Hung) -> None:
    names = Names(hung)
    await leave(names, *(f"{number}.slow" for number in range(OF_A_TENANT)))
    with pytest.raises(Crowded, match=f"^{OF_A_TENANT} names of 'acme' are being looked up, {OF_A_TENANT} in all$"):
        await ask(names, "quick")
    assert await ask(names, "quick", tenant="other") == ["127.0.0.1"]
    assert "quick" in hung.asked


async def test_what_hangs_no_more_is_forgotten(hung: Hung) -> None:
    names = Names(hung)
    await leave(names, *(f"{number}.slow" for number in range(OF_A_TENANT)))
    waiting = asyncio.create_task(ask(names, "0.slow"))
    await asyncio.sleep(0)
    hung.end()
    assert await waiting == []
    for number in range(2 * OF_A_TENANT):
        assert await ask(names, f"{number}.quick") == ["127.0.0.1"]


async def test_a_name_that_hangs_is_asked_for_once(hung: Hung) -> None:
    names = Names(hung)
    for _ in range(2 * OF_A_TENANT):
        await leave(names, "one.slow")
    assert hung.asked == ["one.slow"]
    assert await ask(names, "quick") == ["127.0.0.1"]


async def test_few_tenants_can_not_take_what_there_is_for_all(hung: Hung) -> None:
    names = Names(hung)
    greedy = [f"greedy-{number}" for number in range(IN_ALL // 2 // OF_A_TENANT)]
    for tenant in greedy:
        await leave(names, *(f"{number}.slow" for number in range(OF_A_TENANT)), tenant=tenant)
    for number in range(IN_ALL // 2):
        await leave(names, "one.slow", tenant=f"modest-{number}")
        with pytest.raises(Crowded):
            await ask(names, "two.slow", tenant=f"modest-{number}")
    with pytest.raises(Crowded, match=f"^0 names of 'last' are being looked up, {IN_ALL} in all$"):
        await ask(names, "quick", tenant="last")


HANGING = """
import asyncio, threading
from milepost.engine.names import Names
asked = threading.Event()
def hang(host, port):
    asked.set()
    threading.Event().wait()
async def main():
    asking = asyncio.create_task(Names(hang).addresses("one.slow", 443, "acme"))
    await asyncio.to_thread(asked.wait)
    asking.cancel()
asyncio.run(main())
print("over")
"""


def test_a_process_ends_without_waiting_for_it() -> None:
    ended = subprocess.run([sys.executable, "-c", HANGING], capture_output=True, timeout=WITHIN, check=True)
    assert ended.stdout == b"over\n"
