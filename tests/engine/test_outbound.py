"""How a URL is called that somebody else has named."""

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator, Iterator

import pytest
import trustme

from milepost.engine.names import OF_A_TENANT, Names
from milepost.engine.outbound import CROWDED, MAX_HEAD, UNREACHED, Answer, Outbound, Unanswered
from milepost.engine.reach import Reach, networks
from milepost.times import DAY, SECOND
from tests.engine.bench import WITHIN
from tests.engine.receiver import Receiver, receiving, status
from tests.engine.resolving import Hung, Known

LOOPBACK = Reach(networks(["127.0.0.0/8", "::1"]))


async def failed(outbound: Outbound, url: str, body: bytes = b"{}") -> Unanswered:
    """Why there is no answer."""
    with pytest.raises(Unanswered) as unanswered:
        await outbound.post(url, body, {}, tenant="acme")
    return unanswered.value


async def unreached(outbound: Outbound, url: str) -> str:
    """What the operator sees of it, where it is told in the words that tell nothing."""
    unanswered = await failed(outbound, url)
    assert str(unanswered) == UNREACHED
    return unanswered.seen


@pytest.fixture
def hung() -> Iterator[Hung]:
    hung = Hung()
    yield hung
    hung.end()


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with receiving() as receiver:
        yield receiver


async def test_what_is_sent_arrives_as_it_was_given(receiver: Receiver) -> None:
    names = Known(["127.0.0.1"])
    url = f"http://hooks.test:{receiver.port}/a/b?c=%20d"
    answer = await Outbound(LOOPBACK, names=Names(names)).post(url, b'{"x": 1}', {"webhook-id": "one"}, tenant="acme")
    assert answer == Answer(204)
    received = receiver.received.get_nowait()
    assert (received.target, received.body) == ("/a/b?c=%20d", b'{"x": 1}')
    assert received.headers == {
        "host": f"hooks.test:{receiver.port}",
        "content-type": "application/json",
        "content-length": "8",
        "connection": "close",
        "user-agent": "Milepost",
        "webhook-id": "one",
    }
    assert names.asked == [("hooks.test", receiver.port)]


async def test_a_url_without_a_path_is_called_at_its_root(receiver: Receiver) -> None:
    await Outbound(LOOPBACK).post(f"http://127.0.0.1:{receiver.port}", b"{}", {}, tenant="acme")
    assert receiver.received.get_nowait().target == "/"


async def test_a_large_body_is_sent_whole(receiver: Receiver) -> None:
    await Outbound(LOOPBACK).post(receiver.url, b"x" * 5_000_000, {}, tenant="acme")
    assert len(receiver.received.get_nowait().body) == 5_000_000


@pytest.mark.parametrize(
    ("head", "wait"),
    [
        ("retry-after: 7", 7 * SECOND),
        ("Retry-After: 99999999999", DAY),
        ("retry-after: Wed, 21 Oct 2015 07:28:00 GMT", None),
    ],
)
async def test_an_answer_is_told_with_the_wait_that_it_asks_for(
    receiver: Receiver, head: str, wait: int | None
) -> None:
    receiver.answers = [status(503, head)]
    assert await Outbound(LOOPBACK).post(receiver.url, b"{}", {}, tenant="acme") == Answer(503, wait)


async def test_what_comes_before_the_answer_is_passed_over(receiver: Receiver) -> None:
    receiver.answers = [b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\n\r\n" + status(200)]
    assert await Outbound(LOOPBACK).post(receiver.url, b"{}", {}, tenant="acme") == Answer(200)


async def test_a_redirect_is_an_answer_and_not_followed(receiver: Receiver) -> None:
    async with receiving() as other:
        receiver.answers = [status(307, f"location: {other.url}")]
        assert await Outbound(LOOPBACK).post(receiver.url, b"{}", {}, tenant="acme") == Answer(307)
        assert other.connections == 0


@pytest.mark.parametrize("addresses", [["127.0.0.1"], ["::1"], ["::ffff:127.0.0.1"], ["10.0.0.1", "169.254.169.254"]])
async def test_a_local_address_is_not_even_connected_to(receiver: Receiver, addresses: list[str]) -> None:
    for scheme in ("http", "https"):
        outbound = Outbound(Reach(), names=Names(Known(addresses)))
        seen = await unreached(outbound, f"{scheme}://hooks.test:{receiver.port}/")
        assert seen == f"No address of hooks.test may be called: {', '.join(addresses)}"
    assert receiver.connections == 0


@pytest.mark.parametrize("host", ["127.0.0.1", "127.1", "0x7f000001", "2130706433", "localhost", "[::ffff:7f00:1]"])
async def test_nor_under_another_of_its_names(receiver: Receiver, host: str) -> None:
    assert "may be called" in await unreached(Outbound(Reach()), f"http://{host}:{receiver.port}/")
    assert receiver.connections == 0


async def test_a_name_is_asked_for_once_and_what_was_looked_at_is_called(receiver: Receiver) -> None:
    """A name that means another address a moment later (DNS rebinding)."""
    names = Known(["127.0.0.1"], ["127.0.0.2"])
    reach = Reach(networks(["127.0.0.1"]))
    await Outbound(reach, names=Names(names)).post(f"http://hooks.test:{receiver.port}/", b"", {}, tenant="acme")
    assert len(names.asked) == receiver.connections == 1
    seen = await unreached(Outbound(reach, names=Names(names)), f"http://hooks.test:{receiver.port}/")
    assert seen == "No address of hooks.test may be called: 127.0.0.2"
    assert (len(names.asked), receiver.connections) == (2, 1)


async def test_of_several_addresses_those_that_may_be_are_called_until_one_answers(receiver: Receiver) -> None:
    names = Known(["10.0.0.1", "127.0.0.3", "127.0.0.1"])
    await Outbound(LOOPBACK, names=Names(names)).post(f"http://hooks.test:{receiver.port}/", b"", {}, tenant="acme")
    assert receiver.connections == 1


async def test_over_the_internet_only_tls_is_spoken() -> None:
    names = Known(["1.1.1.1"])
    unanswered = await failed(Outbound(LOOPBACK, names=Names(names)), "http://hooks.test/")
    assert str(unanswered) == "Over the Internet only https is called."
    assert names.asked == [("hooks.test", 80)]


@pytest.mark.parametrize(
    ("names", "why"),
    [
        (Known(socket.gaierror(-2, "Name or service not known")), "could not be resolved"),
        (Known([]), "has no address"),
        (Known(["127.0.0.1"]), "could not be connected to"),
    ],
)
async def test_p6_who_is_not_there_and_who_is_but_may_not_be_called_are_told_in_the_same_words(
    names: Known, why: str
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    for scheme in ("http", "https"):
        assert why in await unreached(Outbound(LOOPBACK, names=Names(names)), f"{scheme}://hooks.test:{port}/")


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"HTTP/1.1 200 OK\r\n",
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"HTTP/1.1 200 OK\r\nx: " + b"y" * (2 * MAX_HEAD) + b"\r\n\r\n",
        b"HTTP/1.1 103 Hints\r\nx: y\r\n\r\n" * 10,
    ],
    ids=["nothing", "half an answer", "another protocol", "a head without end", "no answer after all"],
)
async def test_what_is_no_answer_is_none(receiver: Receiver, answer: bytes) -> None:
    receiver.answers = [answer]
    assert "no answer of HTTP" in await unreached(Outbound(LOOPBACK), receiver.url)


async def test_a_body_after_the_head_is_not_waited_for(receiver: Receiver) -> None:
    receiver.answers = [b"HTTP/1.1 200 OK\r\ncontent-length: 1000000000\r\n\r\nx"]
    assert await Outbound(LOOPBACK).post(receiver.url, b"{}", {}, tenant="acme") == Answer(200)


async def test_silence_has_an_end(receiver: Receiver) -> None:
    receiver.answers = [None]
    assert await unreached(Outbound(LOOPBACK, timeout=0.05), receiver.url) == "It took longer than 0.05 seconds."


async def test_so_has_a_name_that_nobody_resolves(hung: Hung) -> None:
    outbound = Outbound(LOOPBACK, names=Names(hung), timeout=0.05)
    assert await unreached(outbound, "https://hooks.test/") == "It took longer than 0.05 seconds."


async def test_too_many_of_these_are_told_of_at_once(hung: Hung) -> None:
    names = Names(hung)
    for number in range(OF_A_TENANT):
        await unreached(Outbound(LOOPBACK, names=names, timeout=0.001), f"https://{number}.test/")
    unanswered = await failed(Outbound(LOOPBACK, names=names, timeout=WITHIN), "https://hooks.test/")
    assert str(unanswered) == CROWDED
    assert unanswered.seen == f"{OF_A_TENANT} names of 'acme' are being looked up, {OF_A_TENANT} in all"


@pytest.mark.parametrize(
    ("addresses", "told"),
    [
        (["1.1.1.1"], "It took longer than 0.05 seconds."),
        (["127.0.0.1"], UNREACHED),
        (["1.1.1.1", "127.0.0.1"], UNREACHED),
    ],
)
async def test_what_happens_on_the_way_is_told_of_receivers_of_the_internet_alone(
    hung: Hung, addresses: list[str], told: str
) -> None:
    def trust() -> ssl.SSLContext:
        hung("", 0)
        return ssl.create_default_context()

    outbound = Outbound(LOOPBACK, names=Names(Known(addresses)), trust=trust, timeout=0.05)
    unanswered = await failed(outbound, "https://hooks.test/")
    assert (str(unanswered), unanswered.seen) == (told, "It took longer than 0.05 seconds.")


async def test_over_tls_the_certificate_has_to_bear_the_name_and_be_trusted() -> None:
    authority, stranger = trustme.CA(), trustme.CA()
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("hooks.test").configure_cert(server)

    def trusted(by: trustme.CA) -> ssl.SSLContext:
        context = ssl.create_default_context()
        by.configure_trust(context)
        return context

    async with receiving(server) as receiver:
        names = Known(["127.0.0.1"])
        outbound = Outbound(LOOPBACK, names=Names(names), trust=lambda: trusted(authority))
        assert await outbound.post(f"https://hooks.test:{receiver.port}/x", b"{}", {}, tenant="acme") == Answer(204)
        assert await outbound.post(f"https://hooks.test:{receiver.port}/x", b"{}", {}, tenant="acme") == Answer(204)
        seen = await unreached(outbound, f"https://other.test:{receiver.port}/x")
        assert seen.startswith("Its certificate is not trusted: Hostname mismatch")
        strict = Outbound(LOOPBACK, names=Names(names), trust=lambda: trusted(stranger))
        assert "certificate is not trusted" in await unreached(strict, f"https://hooks.test:{receiver.port}/x")
        assert receiver.received.qsize() == 2


async def test_tls_is_not_spoken_with_who_does_not(receiver: Receiver) -> None:
    assert "could not be connected to" in await unreached(Outbound(LOOPBACK), f"https://127.0.0.1:{receiver.port}/")


async def test_who_asks_can_leave(receiver: Receiver) -> None:
    receiver.answers = [None]
    calling = asyncio.create_task(Outbound(LOOPBACK).post(receiver.url, b"{}", {}, tenant="acme"))
    await receiver.received.get()
    calling.cancel()
    with pytest.raises(asyncio.CancelledError):
        await calling
