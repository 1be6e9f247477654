"""What other processes have written: rows of a store, messages of children, rings, folders. Is it read, or left out?"""

import asyncio
import socket
import tempfile
from pathlib import Path
from typing import Any

import msgspec
from hypothesis import example, given
from hypothesis import strategies as st

from milepost.engine.folders import RELEASED, _take_over
from milepost.engine.runners.wire import FromProcess, Wire
from milepost.store.sqlite import rows
from milepost.store.sqlite.doorbell import Doorbell
from milepost.task import State, Task
from tests.fuzz.dirt import blobs, fuzzed, mostly, spoilt_bytes, values, written

_DECODED = st.sampled_from(sorted(rows._DECODERS))


@fuzzed(60)
@example({"metadata": '{"a":' * 20_000}, "running", None)
@given(
    st.dictionaries(_DECODED, written(values).map(lambda body: body.decode("utf-8", "replace")), max_size=2),
    mostly(st.sampled_from([str(state) for state in State])),
    st.none() | blobs,
)
def test_records(said: dict[str, str], state: Any, body: bytes | None) -> None:
    row = [7, *(said.get(name) for name in rows.FIELDS), body]
    row[1 + rows._STATE] = state
    left_out: list[Any] = []
    found = rows.readable([row], lambda each, _: left_out.append(each))
    assert len(found) + len(left_out) == 1
    assert not found or isinstance(found[0].task, Task)


@fuzzed(40)
@given(spoilt_bytes(st.just(msgspec.json.encode({"type": "over", "outcome": {}}))) | written(values) | blobs)
async def test_messages_of_children(body: bytes) -> None:
    """What runs a task is no stranger, but may be broken by it: what is no message ends the wire, and no more."""
    ours, theirs = socket.socketpair()
    wire: Wire[Any] = await Wire.over(ours, FromProcess)
    try:
        theirs.sendall(len(body).to_bytes(4) + body[: len(body) - len(body) % 3])
        theirs.close()
        async with asyncio.timeout(5):
            message = await wire.receive()
            assert message is None or isinstance(message, FromProcess)
    finally:
        wire.close()


@fuzzed(15)
@given(st.lists(spoilt_bytes(st.just(msgspec.json.encode({"a": 1, "b": None}))) | written(values) | blobs, max_size=4))
def test_rings(rings: list[bytes]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        bell = Doorbell(Path(folder, "store"))
        other = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        try:
            for ring in rings:
                other.sendto(ring, str(bell._folder / bell._name))
            assert all(changed is None or isinstance(changed, dict) for changed in bell.heard())
            assert not list(bell.heard()), "each is heard once"
        finally:
            bell.close()
            other.close()


@fuzzed(20)
@given(st.lists(st.sampled_from(["1", "2", "07", "²", "٣", "x", f"3{RELEASED}", "9" * 200]), max_size=4, unique=True))
def test_folders_that_were_left(names: list[str]) -> None:
    with tempfile.TemporaryDirectory() as parent:
        for name in names:
            Path(parent, name).mkdir()
        _take_over(Path(parent, "99"))
