"""What do clients do all day? They start tasks, and do to them whatever can be done, as chance has it."""

import asyncio
import random
from collections.abc import Awaitable, Callable
from typing import Any, Final

from tests.chaos.caller import Caller
from tests.chaos.evidence import is_over
from tests.chaos.follower import Follower
from tests.chaos.history import TERMINAL, Operation

AT_ONCE: Final = 5
"""Unfinished tasks that one client has at most."""
RUNS: Final = 5
"""How often a repeating task is let run before it is cancelled."""
GONE: Final = "gone"
"""Stands for the state of a task that is deleted or past its retention."""
BETWEEN: Final = "between"
"""Stands for that of one that has ended, and will run again."""
OVER: Final = (*TERMINAL, GONE)
TRIES: Final = 40
"""How often it sends a start whose outcome it does not know."""

KINDS: Final[dict[str, int]] = {
    "on_loop": 14,
    "in_thread": 14,
    "in_process": 10,
    "brief": 10,
    "fails": 5,
    "writes": 6,
    "exits": 2,
    "hungry": 3,
    "deaf": 1,
    "endless": 2,
    "sleeps": 1,
    "stubborn": 1,
    "holds": 1,
    "spawns": 3,
}
"""How often each task type is chosen."""


class Pool:
    """The tasks that all clients know of."""

    def __init__(self) -> None:
        self.states: dict[str, str] = {}
        self.starts: dict[str, dict[str, Any]] = {}
        """The bodies of acknowledged starts, by their tags."""
        self.ids: dict[str, str] = {}
        """Task ids by tag."""
        self.repeating: set[str] = set()
        """Those that will run again and again, whoever started them, or brought them back."""

    def note(self, operation: Operation) -> None:
        """Somebody was shown a record."""
        if operation.record is not None:
            record = operation.record
            self.states[record["id"]] = BETWEEN if record["next_run_at"] else record["state"]
            if record["trigger"] and not is_over(record):
                self.repeating.add(record["id"])
            else:
                self.repeating.discard(record["id"])

    def note_gone(self, task: str) -> None:
        """Somebody was told that there is no such task."""
        self.states[task] = GONE
        self.repeating.discard(task)


class Client:
    """One client, which does one thing after the other; whatever it follows, it follows on the side."""

    def __init__(self, caller: Caller, pool: Pool, chance: random.Random) -> None:
        self.caller = caller
        self._pool = pool
        self._chance = chance
        self._own: list[str] = []
        self._started = 0
        self._following: set[asyncio.Task[None]] = set()
        self._habits: dict[Callable[[], Awaitable[object]], int] = {
            self._start: 40,
            self._read: 24,
            self._wait: 6,
            self._logs: 6,
            self._list: 3,
            self._result: 8,
            self._follow: 10,
            self._calm: 6,
            self._cancel: 5,
            self._pause: 6,
            self._resume: 9,
            self._retry: 6,
            self._delete: 4,
            self._start_again: 5,
            self._start_another: 3,
        }

    async def run(self, stopping: asyncio.Event) -> None:
        """Go on until told to stop."""
        while not stopping.is_set():
            (habit,) = self._chance.choices(list(self._habits), list(self._habits.values()))
            await habit()
            await asyncio.sleep(self._chance.uniform(0.01, 0.15))

    async def finish(self, *, within: float) -> None:
        """Follow to the end what is being followed, for so many seconds at most, and hang up."""
        if self._following:
            _, pending = await asyncio.wait(self._following, timeout=within)
            for task in pending:
                task.cancel()
        await asyncio.gather(*self._following, return_exceptions=True)
        await self.caller.close()

    def _some(self) -> str | None:
        """A task: one of its own, or of anybody, rather a recent one."""
        tasks = self._own if self._own and self._chance.random() < 0.6 else list(self._pool.states)
        return self._chance.choice(tasks[-20:]) if tasks else None

    async def _ask(self, action: str, task: str, part: str = "", **options: Any) -> Operation:
        operation = await self.caller.ask(action, f"/v1/tasks/{task}{part}", task=task, **options)
        self._pool.note(operation)
        if operation.status == 404 and action != "result":
            self._pool.note_gone(task)
        return operation

    # Starting.

    async def _start(self) -> None:
        self._own = [task for task in self._own if self._pool.states[task] not in OVER]
        if len(self._own) >= AT_ONCE:
            await self._look_after(self._chance.choice(self._own))
            return
        self._started += 1
        tag = f"{self.caller.name}-{self._started}"
        body = self._body(tag)
        keyed = self._chance.random() < 0.8 or "trigger" in body  # what would repeat unknown to all is never cancelled
        operation = await self._send(tag, body, keyed)
        tries = 1
        while keyed and operation.task is None and tries < TRIES and operation.status not in (409, 422):
            await asyncio.sleep(0.3)
            operation = await self._send(tag, body, keyed)
            tries += 1
        if operation.task is not None:
            self._own.append(operation.task)
            self._pool.ids[tag] = operation.task
            if keyed:
                self._pool.starts[tag] = body
            await self._ask("read", operation.task)  # an acknowledged start is readable at once, on any server

    async def _look_after(self, task: str) -> None:
        """See how far a task is, and help it on where it would not end by itself."""
        record = (await self._ask("read", task)).record
        if record is not None and record["state"] == "paused":
            await self._ask("resume", task, "/resume", method="POST")
        elif record is not None and record["trigger"] and record["run"] > RUNS:
            await self._ask("cancel", task, "/cancel", method="POST")

    def _body(self, tag: str) -> dict[str, Any]:
        (kind,) = self._chance.choices(list(KINDS), list(KINDS.values()))
        given: dict[str, Any] = {
            "steps": self._chance.randint(1, 8),
            "seconds": self._chance.choice((0.02, 0.1, 0.4, 0.8)),
        }
        if kind in ("fails", "exits"):
            given["times"] = self._chance.randint(1, 3)
        if kind == "hungry":
            given["megabytes"] = self._chance.choice((64, 200))
        body: dict[str, Any] = {"type": kind, "input": given, "title": tag}
        if kind == "on_loop" and self._chance.random() < 0.2:
            return body | {"trigger": {"every": self._chance.choice((1, 3))}}
        if self._pool.ids and self._chance.random() < 0.1:
            body["depends_on"] = [self._chance.choice(list(self._pool.ids.values())[-10:])]
            body["on_dependency_failure"] = self._chance.choice(("fail", "run"))
        return body

    async def _send(self, tag: str, body: dict[str, Any], keyed: bool, **details: Any) -> Operation:
        headers = {"idempotency-key": tag} if keyed else {}
        operation = await self.caller.ask(
            "start", "/v1/tasks", method="POST", json=body, headers=headers, tag=tag, keyed=keyed, **details
        )
        self._pool.note(operation)
        return operation

    async def _start_again(self) -> None:
        """The same key, the same body: the same task."""
        if self._pool.starts:
            tag = self._chance.choice(list(self._pool.starts))
            await self._send(tag, self._pool.starts[tag], keyed=True)

    async def _start_another(self) -> None:
        """The same key, another body: refused."""
        if self._pool.starts:
            tag = self._chance.choice(list(self._pool.starts))
            body = self._pool.starts[tag] | {"description": "another"}
            await self._send(tag, body, keyed=True, other_body=True)

    # Looking.

    async def _read(self) -> None:
        if task := self._some():
            await self._ask("read", task)

    async def _wait(self) -> None:
        if task := self._some():
            await self._ask("wait", task, "?wait=3", patience=12)

    async def _logs(self) -> None:
        if task := self._some():
            after = self._chance.choice((0, 0, 3, 10))
            await self._ask("logs", task, f"/logs?after={after}&limit={self._chance.choice((2, 1000))}", after=after)

    async def _list(self) -> None:
        await self.caller.ask("list", "/v1/tasks?limit=20")

    async def _result(self) -> None:
        ended = [task for task, state in self._pool.states.items() if state == "succeeded"]
        if ended:
            await self._ask("result", self._chance.choice(ended[-30:]), "/result")

    async def _follow(self) -> None:
        if (task := self._some()) and len(self._following) < AT_ONCE:
            follower = Follower(self.caller, task, random.Random(self._chance.random()))
            following = asyncio.create_task(follower.follow())
            self._following.add(following)
            following.add_done_callback(self._following.discard)

    # Acting.

    async def _calm(self) -> None:
        """Cancel one that has repeated itself often enough: they must not become ever more."""
        if self._pool.repeating:
            await self._look_after(self._chance.choice(sorted(self._pool.repeating)))

    async def _cancel(self) -> None:
        if task := self._some():
            await self._ask("cancel", task, "/cancel", method="POST")

    async def _pause(self) -> None:
        if task := self._some():
            await self._ask("pause", task, "/pause", method="POST")

    async def _resume(self) -> None:
        paused = [task for task, state in self._pool.states.items() if state == "paused"]
        if task := self._chance.choice(paused) if paused else self._some():
            await self._ask("resume", task, "/resume", method="POST")

    async def _retry(self) -> None:
        ended = [task for task, state in self._pool.states.items() if state in ("failed", "cancelled")]
        if ended:
            await self._ask("retry", self._chance.choice(ended), "/retry", method="POST")

    async def _delete(self) -> None:
        ended = [task for task, state in self._pool.states.items() if state in TERMINAL]
        if ended:
            await self._ask("delete", self._chance.choice(ended), method="DELETE")
