"""What does it take to turn a function into a task type?"""

import inspect
import sys
from collections.abc import Callable
from typing import Any, Final, Literal, get_args

import msgspec

from milepost.engine.context import BlockingContext, Context
from milepost.engine.signature import read_signature
from milepost.engine.source import Source, source_of
from milepost.engine.text import keepable
from milepost.store.protocol import TypeInfo
from milepost.task import RESERVED_TYPE_NAMES, TYPE_NAME
from milepost.times import MINUTE, SECOND, parse_duration

Duration = str | int | float
"""`"30m"`, or seconds."""
EngineRunner = Literal["loop", "thread", "process"]
MOST: Final = 2**31 - 1
MOST_RETRIES: Final = 999


class Backoff(msgspec.Struct, frozen=True):
    """How long to wait before the next try, in µs: doubled from try to try, with jitter."""

    first: int = SECOND
    longest: int = 10 * MINUTE

    def delay(self, attempt: int, jitter: float) -> int:
        """The pause after the given try (from 1); `jitter` in [0, 1) spreads it over its upper half."""
        whole = min(self.longest, self.first * 2 ** min(attempt - 1, 40))
        return int(whole * (0.5 + jitter / 2))


class TaskType:
    """A registered function with its options."""

    def __init__(
        self,
        function: Callable[..., Any],
        *,
        name: str | None = None,
        retries: int = 0,
        timeout: Duration | None = None,
        runner: EngineRunner | None = None,
        backoff: Duration = "1s",
        backoff_max: Duration = "10m",
        concurrency: int | None = None,
        priority: int = 0,
        keep_result: Duration | None = None,
        keep_record: Duration | None = None,
    ) -> None:
        self.function = function
        if not inspect.isfunction(function):
            raise ValueError(f"{function!r} can't be a task: only a function can, made with def or async def.")
        self.name = function.__name__ if name is None else name
        self.is_async = inspect.iscoroutinefunction(function)
        self.runner = ("loop" if self.is_async else "thread") if runner is None else runner
        self._check_name(self.name)
        self._check_function()
        self._check_whole("retries", retries, 0, MOST_RETRIES)
        self._check_whole("concurrency", 1 if concurrency is None else concurrency, 1, MOST)
        self._check_whole("priority", priority, -MOST, MOST)
        self.backoff = Backoff(self._duration("backoff", backoff), self._duration("backoff_max", backoff_max))
        if self.backoff.first > self.backoff.longest:
            raise ValueError(f"{self.name}: backoff is longer than backoff_max, which is {backoff_max!r}.")
        face = Context if self.is_async else BlockingContext
        self.takes_context, self.input, schema = read_signature(self.name, function, face)
        # The schema has had its say at the start; to it, as to JSON, 1.0 is a whole number.
        self.decode = msgspec.json.Decoder(self.input, strict=False).decode
        self.info = TypeInfo(
            name=self.name,
            runner=self.runner,
            schema=schema,
            description=inspect.getdoc(function) or "",
            max_attempts=retries + 1,
            timeout=None if timeout is None else self._duration("timeout", timeout),
            priority=priority,
            concurrency=concurrency,
            keep_result=None if keep_result is None else self._duration("keep_result", keep_result),
            keep_record=None if keep_record is None else self._duration("keep_record", keep_record),
        )
        if self.info.timeout == 0:
            raise ValueError(f"{self.name}: the timeout must be more than 0.")

    @property
    def source(self) -> Source | None:
        """Where another process finds the function; None where it does not, or finds another one of that name."""
        found = getattr(sys.modules.get(self.function.__module__), self.function.__name__, None)
        found_type = getattr(found, "__milepost__", self)
        return source_of(self.function) if found is not None and found_type.function is self.function else None

    def _check_name(self, name: object) -> None:
        if not isinstance(name, str) or not TYPE_NAME.fullmatch(name):
            raise ValueError(
                f"{name!r} can't name a task type: a lower-case letter, then at most 63 of those, digits, _ and -."
            )
        if name in RESERVED_TYPE_NAMES:
            raise ValueError(f"{name!r} can't name a task type: a path of the HTTP API needs this word.")

    def _check_function(self) -> None:
        if inspect.isgeneratorfunction(self.function) or inspect.isasyncgenfunction(self.function):
            raise ValueError(f"{self.name}: a generator can't be a task; tell of results on the way with ctx.log.")
        self._check_runner()

    def _check_whole(self, option: str, value: object, least: int, most: int) -> None:
        if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
            raise ValueError(f"{self.name}: {option} must be a whole number from {least} to {most}, not {value!r:.60}.")

    def _duration(self, option: str, value: Duration) -> int:
        if not isinstance(value, get_args(Duration)):
            raise ValueError(f"{self.name}: {option} must be text such as '90s', or seconds, not {value!r:.60}.")
        try:
            return parse_duration(value)
        except ValueError as error:
            raise ValueError(f"{self.name}: {option}: {error}.") from None

    def _check_runner(self) -> None:
        if self.runner not in get_args(EngineRunner):
            raise ValueError(f"{self.name}: there is no runner {self.runner!r:.60}; take loop, thread or process.")
        if self.runner == "loop" and not self.is_async:
            raise ValueError(f"{self.name}: the loop runs async functions; a plain one takes runner='thread'.")
        if self.runner == "thread" and self.is_async:
            raise ValueError(f"{self.name}: an async function runs on the loop or in a process, not in a thread.")
        if self.runner == "process" and source_of(self.function) is None:
            raise ValueError(
                f"{self.name}: a process can only find functions that have a name at the top of a module, "
                f"not {self.function.__qualname__}."
            )

    def arguments(self, context: Context | BlockingContext, body: bytes) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Positional and keyword arguments for a call with this input (JSON). Raises msgspec.ValidationError."""
        try:
            given = self.decode(body)
        except msgspec.ValidationError:
            raise
        except Exception as error:  # of a type that checks itself
            raise msgspec.ValidationError(f"{type(error).__name__}: {keepable(error)}") from error
        keywords = {field: getattr(given, field) for field in self.input.__struct_fields__}
        return ((context,) if self.takes_context else ()), keywords
