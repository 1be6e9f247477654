"""Does the time that a refusal takes tell whether there is such a task?

    python benchmarks/silence.py [--pairs 20000] [--store FOLDER]

Somebody asks for tasks of somebody else, and for tasks that never were, in turn and in an order drawn by lot; each way
of asking by itself, in this process, through the whole HTTP application and with a key. Printed is Welch's t of the two
kinds of times: from 4.5 on they differ by more than chance (the bound of the TVLA method of testing for leaks).
"""

import argparse
import asyncio
import gc
import random
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from statistics import fmean, variance
from typing import Any, Final, NamedTuple

import uuid_utils
from msgspec.structs import replace

from milepost.access.limits import Limits
from milepost.access.principal import LOCAL
from milepost.files.folder import FolderFiles
from milepost.http.app import HttpApp
from milepost.http.dialects.known import dialects
from milepost.service import MANY, Service, Wish
from milepost.start import Start
from milepost.store.protocol import TypeInfo
from milepost.store.sqlite.store import SqliteStore

BOUND: Final = 4.5
"""|t| above which two kinds of times are told apart."""
PAIRS: Final = 20_000
TASKS: Final = 500
"""Of each kind; they are asked for again and again."""
EARLIER: Final = 999
"""Tasks that are there before: all numbers that are asked for have as many digits then."""
AT_WILL: Final = 1_000_000
"""Requests a second that the key may make: more than it can."""
TENANT: Final = "1764"

WAYS: Final[Mapping[str, tuple[str, str]]] = {
    "native: read": ("GET", "/v1/tasks/{id}"),
    "native: log": ("GET", "/v1/tasks/{id}/logs"),
    "native: cancel": ("POST", "/v1/tasks/{id}/cancel"),
    "native: delete": ("DELETE", "/v1/tasks/{id}"),
    "metavault: read": ("GET", f"/api/projects/{TENANT}/tasks/{{id}}"),
    "services: read": ("GET", f"/tasks/{{number}}?chain={TENANT}"),
    "services: execute": ("POST", f"/tasks/{{number}}/execute?chain={TENANT}"),
    "services: download": ("GET", f"/tasks/{{number}}/download_url?chain={TENANT}"),
    "aparavi: read": ("GET", "/task?token={token}&type=cpu"),
    "aparavi: read by id": ("GET", "/task?token=task_{id}&type=cpu"),
    "aparavi: end": ("DELETE", "/task?token={token}&type=cpu"),
    "aparavi: deliver": ("PUT", "/webhook?token={token}&type=cpu"),
    "cloudcoin: read": ("GET", "/api/v1/tasks/{id}"),
    "quant: read": ("GET", f"/api/v3/organizations/{TENANT}/ai/tasks/{{id}}"),
}
"""How tasks are asked for."""


class Named(NamedTuple):
    """What a task is called, or would be."""

    id: str
    number: int
    token: str


class Compared(NamedTuple):
    """What came of one way of asking: seconds."""

    way: str
    theirs: Sequence[float]
    absent: Sequence[float]

    @property
    def t(self) -> float:
        """Welch's t."""
        return welch(self.theirs, self.absent)

    @property
    def is_enough(self) -> bool:
        """Whether the two are not told apart."""
        return abs(self.t) < BOUND


def welch(one: Sequence[float], other: Sequence[float]) -> float:
    """Welch's t of two samples; 0 for two that do not vary and are the same."""
    spread = variance(one) / len(one) + variance(other) / len(other)
    apart = fmean(one) - fmean(other)
    return apart / spread**0.5 if spread else float("inf") * apart if apart else 0.0


async def measure(folder: Path, pairs: int) -> list[Compared]:
    """Ask in each way, so many pairs."""
    store = SqliteStore(folder / "milepost.db")
    await store.open()
    files = FolderFiles(folder / "files")
    service = Service(store, files)
    try:
        await store.publish_types([TypeInfo("export", "loop", {"type": "object"})])
        theirs, absent = await _names(service)
        _, key = await service.keys.add("asker", [f"{TENANT}:user"])
        app = HttpApp(lambda: service, dialects(), limits=Limits(requests=AT_WILL, burst=AT_WILL))
        return [await _compare(app, way, key, theirs, absent, pairs) for way in WAYS]
    finally:
        await service.close()
        await files.close()
        await store.close()


async def _names(service: Service) -> tuple[list[Named], list[Named]]:
    """Of tasks of somebody else, and of none: ids that lie between those, and the numbers that would be next."""
    start = Start(type="export", tenant=TENANT, owner="other")
    for first in range(0, EARLIER, MANY):
        await service.start_many(LOCAL, [Wish(start)] * min(MANY, EARLIER - first), origin="native")
    theirs: list[Named] = []
    absent: list[Named] = []
    for _ in range(TASKS):
        task = (await service.start(LOCAL, start, origin="native")).task
        none = replace(task, id=str(uuid_utils.uuid7()), number=task.number + TASKS)
        for named, each in ((theirs, task), (absent, none)):
            named.append(Named(each.id, each.number, await service.token_of(each)))
    return theirs, absent


async def _compare(
    app: Any, way: str, key: str, theirs: Sequence[Named], absent: Sequence[Named], pairs: int
) -> Compared:
    times: tuple[list[float], list[float]] = ([], [])
    for names in (theirs, absent):  # whatever is known from the first request on is known now
        for named in names:
            await _ask(app, way, named, key)
    gc.collect()
    gc.disable()
    try:
        for number in _drawn(pairs):
            kind, named = number % 2, (theirs, absent)[number % 2][number // 2 % TASKS]
            times[kind].append(await _ask(app, way, named, key))
    finally:
        gc.enable()
    return Compared(way, *times)


def _drawn(pairs: int) -> Iterator[int]:
    """2n and 2n + 1 for each pair n, in an order drawn by lot."""
    for pair in range(pairs):
        first = random.getrandbits(1)
        yield from (2 * pair + first, 2 * pair + 1 - first)


async def _ask(app: Any, way: str, named: Named, key: str) -> float:
    """How long it took to be told that there is no such task, in seconds."""
    method, path = WAYS[way]
    said, _, query = path.format(**named._asdict()).partition("?")
    headers = [(b"host", b"localhost"), (b"authorization", f"Bearer {key}".encode())]
    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": said,
        "raw_path": said.encode(),
        "query_string": query.encode(),
        "root_path": "",
        "headers": headers,
        "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", 80),
        "state": {},
    }
    status = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: dict[str, Any]) -> None:
        status.append(message.get("status"))

    began = time.perf_counter()
    await app(scope, receive, send)
    taken = time.perf_counter() - began
    if status[0] != 404:
        raise RuntimeError(f"{way} was answered with {status[0]}.")
    return taken


def table(compared: Sequence[Compared]) -> str:
    """What was found, for people."""
    lines = [f"{'':<20} {'theirs':>10} {'absent':>10} {'t':>8}"]
    for each in compared:
        theirs, absent = [f"{fmean(times) * 1e6:.1f} µs" for times in (each.theirs, each.absent)]
        lines.append(f"{each.way:<20} {theirs:>10} {absent:>10} {each.t:>8.2f}{'' if each.is_enough else '  MISSED'}")
    return "\n".join(lines)


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=PAIRS)
    parser.add_argument("--store", type=Path)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=asked.store) as folder:
        compared = asyncio.run(measure(Path(folder), asked.pairs))
    print(table(compared))
    return 0 if all(each.is_enough for each in compared) else 1


if __name__ == "__main__":
    raise SystemExit(main())
