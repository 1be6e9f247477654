"""How a URL is called that somebody else has named."""

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator, Sequence

import pytest
import trustme

from milepost.engine.outbound import MAX_HEAD, Answer, Outbound, Unanswered
from milepost.engine.reach import Reach, networks
from milepost.times import DAY, SECOND
from tests.engine.receiver import Receiver, receiving, status

LOOPBACK = Reach(networks(["127.0.0.0/8", "::1"]))


class Names:
    """A resolver whose answers a test decides; each is given once, the last one from then on."""

    def __init__(self, *answers: Sequence[str] | OSError) -> None:
        self.answers = list(answers)
        self.asked: list[tuple[str, int]] = []

    async def __call__(self, host: str, port: int) -> Sequence[str]:
        self.asked.append((host, port))
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, OSError):
            raise answer
        return answer


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with receiving() as receiver:
        yield receiver


async def test_what_is_sent_arrives_as_it_was_given(receiver: Receiver) -> None:
    names = Names(["127.0.0.1"])
    url = f"http://hooks.test:{receiver.port}/a/b?c=%20d"
    answer = await Outbound(LOOPBACK, resolve=names).post(url, b'{"x": 1}', {"webhook-id": "one"})
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
    await Outbound(LOOPBACK).post(f"http://127.0.0.1:{receiver.port}", b"{}", {})
    assert receiver.received.get_nowait().target == "/"


async def test_a_large_body_is_sent_whole(receiver: Receiver) -> None:
    await Outbound(LOOPBACK).post(receiver.url, b"x" * 5_000_000, {})
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
    assert await Outbound(LOOPBACK).post(receiver.url, b"{}", {}) == Answer(503, wait)


async def test_what_comes_before_the_answer_is_passed_over(receiver: Receiver) -> None:
    receiver.answers = [b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\n\r\n" + status(200)]
    assert await Outbound(LOOPBACK).post(receiver.url, b"{}", {}) == Answer(200)


async def test_a_redirect_is_an_answer_and_not_followed(receiver: Receiver) -> None:
    async with receiving() as other:
        receiver.answers = [status(307, f"location: {other.url}")]
        assert await Outbound(LOOPBACK).post(receiver.url, b"{}", {}) == Answer(307)
        assert other.connections == 0


@pytest.mark.parametrize("addresses", [["127.0.0.1"], ["::1"], ["::ffff:127.0.0.1"], ["10.0.0.1", "169.254.169.254"]])
async def test_a_local_address_is_not_even_connected_to(receiver: Receiver, addresses: list[str]) -> None:
    for scheme in ("http", "https"):
        with pytest.raises(Unanswered, match="No address of it may be called"):
            await Outbound(Reach(), resolve=Names(addresses)).post(f"{scheme}://hooks.test:{receiver.port}/", b"", {})
    assert receiver.connections == 0


@pytest.mark.parametrize("host", ["127.0.0.1", "127.1", "0x7f000001", "2130706433", "localhost", "[::ffff:7f00:1]"])
async def test_nor_under_another_of_its_names(receiver: Receiver, host: str) -> None:
    with pytest.raises(Unanswered, match="No address of it may be called"):
        await Outbound(Reach()).post(f"http://{host}:{receiver.port}/", b"", {})
    assert receiver.connections == 0


async def test_a_name_is_asked_for_once_and_what_was_looked_at_is_called(receiver: Receiver) -> None:
    """A name that means another address a moment later (DNS rebinding)."""
    names = Names(["127.0.0.1"], ["127.0.0.2"])
    reach = Reach(networks(["127.0.0.1"]))
    await Outbound(reach, resolve=names).post(f"http://hooks.test:{receiver.port}/", b"", {})
    assert len(names.asked) == receiver.connections == 1
    with pytest.raises(Unanswered, match="No address of it may be called"):
        await Outbound(reach, resolve=names).post(f"http://hooks.test:{receiver.port}/", b"", {})
    assert (len(names.asked), receiver.connections) == (2, 1)


async def test_of_several_addresses_those_that_may_be_are_called_until_one_answers(receiver: Receiver) -> None:
    names = Names(["10.0.0.1", "127.0.0.3", "127.0.0.1"])
    await Outbound(LOOPBACK, resolve=names).post(f"http://hooks.test:{receiver.port}/", b"", {})
    assert receiver.connections == 1


async def test_over_the_internet_only_tls_is_spoken() -> None:
    names = Names(["1.1.1.1"])
    with pytest.raises(Unanswered, match="only https is called"):
        await Outbound(LOOPBACK, resolve=names).post("http://hooks.test/", b"", {})
    assert names.asked == [("hooks.test", 80)]


@pytest.mark.parametrize(
    ("names", "why"),
    [
        (Names(socket.gaierror(-2, "Name or service not known")), "could not be resolved"),
        (Names([]), "has no address"),
        (Names(["127.0.0.1"]), "could not be connected to"),
    ],
)
async def test_who_is_not_there_is_told_in_general_words(names: Names, why: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    for scheme in ("http", "https"):
        with pytest.raises(Unanswered, match=why):
            await Outbound(LOOPBACK, resolve=names).post(f"{scheme}://hooks.test:{port}/", b"", {})


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
    with pytest.raises(Unanswered, match="no answer of HTTP"):
        await Outbound(LOOPBACK).post(receiver.url, b"{}", {})


async def test_a_body_after_the_head_is_not_waited_for(receiver: Receiver) -> None:
    receiver.answers = [b"HTTP/1.1 200 OK\r\ncontent-length: 1000000000\r\n\r\nx"]
    assert await Outbound(LOOPBACK).post(receiver.url, b"{}", {}) == Answer(200)


async def test_silence_has_an_end(receiver: Receiver) -> None:
    receiver.answers = [None]
    with pytest.raises(Unanswered, match=r"It took longer than 0\.05 seconds\."):
        await Outbound(LOOPBACK, timeout=0.05).post(receiver.url, b"{}", {})


async def test_so_has_a_name_that_nobody_resolves() -> None:
    async def never(host: str, port: int) -> Sequence[str]:
        await asyncio.Event().wait()
        return []

    with pytest.raises(Unanswered, match="It took longer than"):
        await Outbound(LOOPBACK, resolve=never, timeout=0.05).post("https://hooks.test/", b"{}", {})


async def test_over_tls_the_certificate_has_to_bear_the_name_and_be_trusted() -> None:
    authority, stranger = trustme.CA(), trustme.CA()
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("hooks.test").configure_cert(server)

    def trusted(by: trustme.CA) -> ssl.SSLContext:
        context = ssl.create_default_context()
        by.configure_trust(context)
        return context

    async with receiving(server) as receiver:
        names = Names(["127.0.0.1"])
        outbound = Outbound(LOOPBACK, resolve=names, trust=lambda: trusted(authority))
        assert await outbound.post(f"https://hooks.test:{receiver.port}/x", b"{}", {}) == Answer(204)
        assert await outbound.post(f"https://hooks.test:{receiver.port}/x", b"{}", {}) == Answer(204)
        with pytest.raises(Unanswered, match="Its certificate is not trusted: Hostname mismatch"):
            await outbound.post(f"https://other.test:{receiver.port}/x", b"{}", {})
        strict = Outbound(LOOPBACK, resolve=names, trust=lambda: trusted(stranger))
        with pytest.raises(Unanswered, match="Its certificate is not trusted"):
            await strict.post(f"https://hooks.test:{receiver.port}/x", b"{}", {})
        assert receiver.received.qsize() == 2


async def test_tls_is_not_spoken_with_who_does_not(receiver: Receiver) -> None:
    with pytest.raises(Unanswered, match="could not be connected to"):
        await Outbound(LOOPBACK).post(f"https://127.0.0.1:{receiver.port}/", b"{}", {})


async def test_who_asks_can_leave(receiver: Receiver) -> None:
    receiver.answers = [None]
    calling = asyncio.create_task(Outbound(LOOPBACK).post(receiver.url, b"{}", {}))
    await receiver.received.get()
    calling.cancel()
    with pytest.raises(asyncio.CancelledError):
        await calling
