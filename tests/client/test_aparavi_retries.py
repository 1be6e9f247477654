import asyncio
import os
import signal
import socket
import subprocess
import sys
from contextlib import ExitStack
from datetime import UTC, datetime
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import pytest

from milepost.client.aparavi import AparaviError, AsyncAparaviDTC, TimedOut, Unauthorized, Unreachable
from tests.client.flavours import Client, Flavour
from tests.client.speaker import RUNNING, TOKEN, Broken, Silent, Speaker, Told, speaking

PIPELINE: dict[str, Any] = {"components": []}
STARTED = Told(body={"status": "OK", "data": {"token": TOKEN, "type": "cpu"}})
HALF = Broken(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{")


async def with_task(client: Client, speaker: Speaker) -> None:
    """Start a task, and forget that it was."""
    await client.call("start_task", PIPELINE)
    speaker.asked.clear()


def unused() -> int:
    """A port that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        return int(free.getsockname()[1])


@pytest.mark.parametrize("method", ["get_task", "delete_task"])
@pytest.mark.parametrize("trouble", [Told(429), Told(502), Told(503), Told(504), Broken(), HALF])
async def test_what_can_be_asked_twice_is(
    flavour: Flavour, speaker: Speaker, method: str, trouble: Told | Broken
) -> None:
    async with Client(flavour, speaker.url) as client:
        await with_task(client, speaker)
        speaker.instead = [trouble, trouble]
        assert "successfully" in (await client.call(method))["message"]
        assert client.time.pauses == [0.5, 1.0]
    assert len(speaker.asked) == 3


@pytest.mark.parametrize("status", [400, 401, 404, 409, 422, 500, 501])
async def test_what_does_not_pass_is_not_asked_again(flavour: Flavour, speaker: Speaker, status: int) -> None:
    async with Client(flavour, speaker.url) as client:
        await with_task(client, speaker)
        speaker.instead = [Told(status, {"error": "So it is."})]
        with pytest.raises(AparaviError) as caught:
            await client.call("get_task")
        assert caught.value.status == status
    assert len(speaker.asked) == 1


async def test_the_number_of_tries(flavour: Flavour, speaker: Speaker) -> None:
    async with Client(flavour, speaker.url, retries=2) as client:
        await with_task(client, speaker)
        speaker.instead = [Told(503, {"error": "Busy"}) for _ in range(9)]
        with pytest.raises(AparaviError, match=r"^Error getting task status: Busy$") as caught:
            await client.call("get_task")
        assert caught.value.status == 503
        speaker.instead = [Broken() for _ in range(9)]
        with pytest.raises(Unreachable, match=r"^Error getting task status: no answer \(.*disconnected.*\)$"):
            await client.call("get_task")
    assert len(speaker.asked) == 6


@pytest.mark.parametrize("trouble", [Told(429), Told(503)])
async def test_a_start_is_sent_again_where_nothing_was_begun(flavour: Flavour, speaker: Speaker, trouble: Told) -> None:
    speaker.instead = [trouble]
    async with Client(flavour, speaker.url) as client:
        await client.call("start_task", PIPELINE)
        assert client.real.token == TOKEN
    assert len(speaker.asked) == 2


@pytest.mark.parametrize("trouble", [Told(502), Told(504), Broken(), HALF])
async def test_a_start_that_may_have_been_taken_is_not_sent_again(
    flavour: Flavour, speaker: Speaker, trouble: Told | Broken
) -> None:
    speaker.instead = [trouble]
    async with Client(flavour, speaker.url) as client:
        with pytest.raises(AparaviError, match="Error starting task: "):
            await client.call("start_task", PIPELINE)
        assert client.real.token is None
    assert len(speaker.asked) == 1


@pytest.mark.parametrize("trouble", [Told(429), Told(502), Told(503), Told(504), Broken(), HALF])
async def test_a_delivery_that_may_have_come_is_not_sent_again(
    flavour: Flavour, speaker: Speaker, trouble: Told | Broken
) -> None:
    async with Client(flavour, speaker.url) as client:
        await with_task(client, speaker)
        speaker.instead = [trouble]
        with pytest.raises(AparaviError, match="Error sending to webhook: "):
            await client.call("send_to_webhook", text="x")
    assert len(speaker.asked) == 1


@pytest.mark.parametrize("method", ["start_task", "get_task", "delete_task", "send_to_webhook"])
async def test_where_nobody_takes_the_connection_every_call_is_tried_again(flavour: Flavour, method: str) -> None:
    port = unused()
    with ExitStack() as stack:
        client = Client(flavour, f"http://127.0.0.1:{port}")
        client.real.token, client.real.type = TOKEN, "cpu"

        def open_shop(seconds: float) -> None:
            client.time.sleep(seconds)
            if len(client.time.pauses) == 2:
                server = stack.enter_context(speaking(port=port))
                server.tokens.add(TOKEN)

        async def open_shop_async(seconds: float) -> None:
            open_shop(seconds)

        client.real._sleep = open_shop_async if flavour == "async" else open_shop
        async with client:
            arguments = [PIPELINE] if method == "start_task" else []
            options = {"text": "x"} if method == "send_to_webhook" else {}
            assert "successfully" in (await client.call(method, *arguments, **options))["message"]


async def test_nobody_is_there(flavour: Flavour) -> None:
    async with Client(flavour, f"http://127.0.0.1:{unused()}") as client:
        with pytest.raises(Unreachable, match=r"^Error starting task: no answer \(.+\)$") as caught:
            await client.call("start_task", PIPELINE)
        assert client.time.pauses == [0.5, 1.0, 2.0, 4.0]
    assert not isinstance(caught.value, TimedOut)
    assert caught.value.status is None


# Retry-After and the time limit.


async def test_a_retry_after_is_waited_for(flavour: Flavour, speaker: Speaker) -> None:
    sent_at = datetime(2024, 1, 15, 10, 30, tzinfo=UTC)
    until = format_datetime(sent_at.replace(second=9), usegmt=True)
    async with Client(flavour, speaker.url, now=lambda: sent_at.timestamp() + 2) as client:
        await with_task(client, speaker)
        speaker.instead = [
            Told(503, b"", {"retry-after": "7"}),
            Told(429, b"", {"retry-after": until, "date": format_datetime(sent_at, usegmt=True)}),
            Told(429, b"", {"retry-after": until}),
            Told(429, b"", {"retry-after": "0"}),
        ]
        await client.call("get_task")
        assert client.time.pauses == [7.0, 9.0, 7.0, 4.0]


async def test_a_retry_after_beyond_the_limit_is_not(flavour: Flavour, speaker: Speaker) -> None:
    async with Client(flavour, speaker.url) as client:
        await with_task(client, speaker)
        speaker.instead = [Told(503, {"message": "Back in an hour"}, {"retry-after": "3600"})]
        with pytest.raises(AparaviError, match="Error getting task status: Back in an hour"):
            await client.call("get_task", timeout=30)
        assert client.time.pauses == []


async def test_the_limit_holds_for_all_tries_together(flavour: Flavour, speaker: Speaker) -> None:
    async with Client(flavour, speaker.url, retries=99) as client:
        await with_task(client, speaker)
        speaker.instead = [Told(503) for _ in range(99)]
        with pytest.raises(AparaviError, match="503 Service Unavailable"):
            await client.call("get_task", timeout=20)
        assert client.time.pauses == [0.5, 1.0, 2.0, 4.0, 8.0]


async def test_an_answer_that_is_lost_leaves_time_for_another_try(flavour: Flavour, speaker: Speaker) -> None:
    async with Client(flavour, speaker.url) as client:
        await with_task(client, speaker)
        speaker.instead = [Silent()]
        assert (await client.call("get_task", timeout=2))["data"] == RUNNING
    assert len(speaker.asked) == 2


@pytest.mark.parametrize("method", ["start_task", "get_task", "send_to_webhook"])
async def test_no_answer_within_the_limit(flavour: Flavour, speaker: Speaker, method: str) -> None:
    async with Client(flavour, speaker.url, retries=0, timeout=0.75) as client:
        client.real.token, client.real.type = TOKEN, "cpu"
        speaker.instead = [Silent()]
        arguments = [PIPELINE] if method == "start_task" else []
        options = {"text": "x"} if method == "send_to_webhook" else {}
        with pytest.raises(TimedOut, match=r": no answer within 0\.75 seconds$"):
            await client.call(method, *arguments, **options)
        await asyncio.to_thread(speaker.wait_for, 1)
    assert len(speaker.asked) == 1


async def test_an_answer_that_trickles(flavour: Flavour, speaker: Speaker) -> None:
    """Each piece comes soon enough; together they do not."""
    ticks = iter(range(10**6))
    async with Client(flavour, speaker.url, clock=lambda: float(next(ticks)), retries=0) as client:
        client.real.token, client.real.type = TOKEN, "cpu"
        speaker.tokens.add(TOKEN)
        speaker.data = {"text": "x" * (1 << 20)}
        with pytest.raises(TimedOut, match=r"^Error getting task status: no answer within 4 seconds$"):
            await client.call("get_task", timeout=4)


async def test_a_delivery_that_takes_too_long(flavour: Flavour, speaker: Speaker, tmp_path: Path) -> None:
    (tmp_path / "large").write_bytes(bytes(1 << 20))
    ticks = iter(range(10**6))
    async with Client(flavour, speaker.url, clock=lambda: float(next(ticks))) as client:
        client.real.token, client.real.type = TOKEN, "cpu"
        with pytest.raises(TimedOut, match=r"^Error sending to webhook: no answer within 6 seconds$"):
            await client.call("send_to_webhook", tmp_path / "large", timeout=6)


# wait


async def test_waiting_for_the_end(flavour: Flavour, speaker: Speaker) -> None:
    def status(name: str, **headers: str) -> Told:
        return Told(body={"status": "OK", "data": {"status": name}}, headers=headers)

    async with Client(flavour, speaker.url) as client:
        await with_task(client, speaker)
        speaker.instead = [status("Created"), *[status("Running") for _ in range(9)], status("Failed")]
        assert (await client.call("wait"))["data"] == {"status": "Failed"}
        assert client.time.pauses[:3] == [0.5, 0.75, 1.125]
        assert client.time.pauses[-2:] == [10.0, 10.0]
        client.time.pauses.clear()
        asks = status("Paused", **{"retry-after": "3"})
        speaker.instead = [asks, asks, status("Running"), status("Cancelled")]
        assert (await client.call("wait", poll=2.5))["data"] == {"status": "Cancelled"}
        assert client.time.pauses == [3.0, 3.75, 5.625]


@pytest.mark.parametrize("data", [{"status": "Completed"}, {"status": "", "completed": True}])
async def test_waiting_for_what_has_ended(flavour: Flavour, speaker: Speaker, data: dict[str, Any]) -> None:
    async with Client(flavour, speaker.url) as client:
        await with_task(client, speaker)
        speaker.data = data
        assert await client.call("wait") == {"data": data, "message": "Task status retrieved successfully"}
        assert client.time.pauses == []


async def test_waiting_has_a_limit(flavour: Flavour, speaker: Speaker) -> None:
    async with Client(flavour, speaker.url) as client:
        await with_task(client, speaker)
        with pytest.raises(TimedOut, match=r"^Error getting task status: the task has not ended within 20 seconds$"):
            await client.call("wait", timeout=20, poll=12)
        assert client.time.pauses == [12.0, 8.0]  # the last look is at the limit
        assert len(speaker.asked) == 3
        assert (await client.call("get_task"))["data"] == RUNNING


@pytest.mark.parametrize("poll", [0, -1, float("nan")])
async def test_waiting_without_a_pause_is_refused(flavour: Flavour, speaker: Speaker, poll: float) -> None:
    async with Client(flavour, speaker.url) as client:
        await with_task(client, speaker)
        with pytest.raises(ValueError, match="A pause between two looks is more than 0 seconds"):
            await client.call("wait", poll=poll)
    assert speaker.asked == []


async def test_waiting_is_not_held_up_by_a_server_that_says_nothing(flavour: Flavour, speaker: Speaker) -> None:
    async with Client(flavour, speaker.url, retries=0) as client:
        await with_task(client, speaker)
        speaker.instead = [Silent()]
        with pytest.raises(TimedOut, match="no answer within 1 seconds"):
            await client.call("wait", timeout=0.1)


async def test_waiting_outlasts_a_server_that_is_started_anew(flavour: Flavour, speaker: Speaker) -> None:
    async with Client(flavour, speaker.url) as client:
        await with_task(client, speaker)
        speaker.instead = [Told(body={"data": {"status": "Running"}}), Broken(), Told(503)]
        speaker.data = {"status": "Completed"}
        assert (await client.call("wait"))["data"] == {"status": "Completed"}


async def test_waiting_ends_with_what_goes_wrong(flavour: Flavour, speaker: Speaker) -> None:
    async with Client(flavour, speaker.url) as client:
        await with_task(client, speaker)
        speaker.key = "another"
        with pytest.raises(Unauthorized):
            await client.call("wait")


async def test_waiting_can_be_cancelled(speaker: Speaker) -> None:
    async with AsyncAparaviDTC(None, speaker.url) as client:
        await client.start_task(PIPELINE)
        waiting = asyncio.create_task(client.wait(poll=600))
        await asyncio.to_thread(speaker.wait_for, 2)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        assert (await client.get_task())["data"] == RUNNING


PROGRAMS = {
    "async": """
        import asyncio, sys
        from milepost.client.aparavi import AsyncAparaviDTC
        async def main():
            async with AsyncAparaviDTC("secret-key", sys.argv[1]) as client:
                await client.start_task({"components": []})
                await client.wait(poll=float(sys.argv[2]))
        asyncio.run(main())
    """,
    "blocking": """
        import sys
        from milepost.client.aparavi import AparaviDTC
        with AparaviDTC("secret-key", sys.argv[1]) as client:
            client.start_task({"components": []})
            client.wait(poll=float(sys.argv[2]))
    """,
}


@pytest.mark.parametrize("during", ["pause", "request"])
def test_ctrl_c_ends_the_waiting(flavour: Flavour, speaker: Speaker, during: str) -> None:
    program = "\n".join(line[8:] for line in PROGRAMS[flavour].splitlines())
    if during == "request":
        speaker.instead = [STARTED, Silent()]
        speaker.tokens.add(TOKEN)
    # Without coverage, in which a lock may never be let go of when Ctrl-C comes.
    environment = {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE_")}
    with subprocess.Popen(
        [sys.executable, "-c", program, speaker.url, "600"], env=environment, stderr=subprocess.PIPE, text=True
    ) as process:
        speaker.wait_for(2)
        process.send_signal(signal.SIGINT)
        _, told = process.communicate(timeout=60)
    assert process.returncode == -signal.SIGINT, told
    assert "KeyboardInterrupt" in told
    assert TOKEN not in told
    assert "secret-key" not in told
