"""What do a worker and the process that runs one of its tasks say to each other?

Frames on a socket pair: four bytes of length, then a message as JSON, which takes any number that a task may use.
"""

import asyncio
import socket
import struct
from typing import Any, Generic, TypeVar

import msgspec

from milepost.engine.context import Place
from milepost.engine.outcome import Outcome, StopReason
from milepost.engine.relatives import ChildStart
from milepost.engine.source import Source
from milepost.lifecycle import Report
from milepost.task import DeliveredFile, Task


class Begin(msgspec.Struct, frozen=True, tag="begin"):
    """The worker's first message: what to run. `path` is where modules are found."""

    source: Source
    path: list[str]
    task: Task
    input: bytes
    saved: bytes | None
    place: Place
    files: tuple[DeliveredFile, ...] = ()
    secret: tuple[str, ...] = ()
    """Names of what is secret in the input."""


class Stop(msgspec.Struct, frozen=True, tag="stop"):
    """Stop at the next checkpoint; None takes a pause back."""

    reason: StopReason | None


class Answer(msgspec.Struct, frozen=True, tag="answer"):
    """What became of a question."""

    number: int
    body: bytes | None = None
    error: str | None = None
    code: str | None = None
    """Of the TaskError that `error` is the message of, if it is one."""
    retry: bool = False
    """Of that too."""
    parked: StopReason | None = None


class Told(msgspec.Struct, frozen=True, tag="told"):
    """What the function told; to be made durable before the answer."""

    number: int
    report: Report


class ResultOf(msgspec.Struct, frozen=True, tag="result_of"):
    """A question for the result of another task."""

    number: int
    id: str


class StartOf(msgspec.Struct, frozen=True, tag="start_of"):
    """A wish to start a child; the answer is its record."""

    number: int
    wish: ChildStart


class ChildrenOf(msgspec.Struct, frozen=True, tag="children_of"):
    """A question for the records of children."""

    number: int
    ids: tuple[str, ...]


class FileOf(msgspec.Struct, frozen=True, tag="file_of"):
    """A wish for a file that was delivered, the so manyth of them; the answer is the path of its copy."""

    number: int
    file: int


class Over(msgspec.Struct, frozen=True, tag="over"):
    """The process's last message."""

    outcome: Outcome


FromWorker = Begin | Stop | Answer
Question = ResultOf | StartOf | ChildrenOf | FileOf
FromProcess = Told | Question | Over
M = TypeVar("M")
_LENGTH = struct.Struct(">I")
_encode = msgspec.json.Encoder().encode


class Wire(Generic[M]):
    """One end: sends any message, receives messages of kind `M`."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, kind: Any) -> None:
        self._reader = reader
        self._writer = writer
        self._decode = msgspec.json.Decoder(kind).decode

    @classmethod
    async def over(cls, sock: socket.socket, kind: Any) -> "Wire[M]":
        """This end of a socket pair, which is the wire's from now on. `kind` is `M` as a value."""
        return cls(*await asyncio.open_connection(sock=sock), kind)

    def send(self, message: FromWorker | FromProcess) -> None:
        """Send a message; whether it arrives shows in the answer, or in the other end's end."""
        body = _encode(message)
        if not self._writer.is_closing():  # as it is once the other end was found to be gone; uvloop then raises
            self._writer.write(_LENGTH.pack(len(body)) + body)

    async def drain(self) -> None:
        """Wait until what was sent has left, as far as the other end reads."""
        await self._writer.drain()

    async def receive(self) -> M | None:
        """The next message; None when the other end is gone, or says what is no message."""
        try:
            (length,) = _LENGTH.unpack(await self._reader.readexactly(_LENGTH.size))
            return self._decode(await self._reader.readexactly(length))  # type: ignore[no-any-return]
        except (asyncio.IncompleteReadError, ConnectionError, msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return None

    def close(self) -> None:
        """Let go of the socket."""
        self._writer.close()
