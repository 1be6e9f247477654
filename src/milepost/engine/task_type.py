"""What does it take to turn a function into a task type?"""

import copy
import inspect
import typing
from collections.abc import Callable
from typing import Any, Literal

import msgspec

from milepost.engine.context import BlockingContext, Context
from milepost.engine.source import Source, source_of
from milepost.engine.text import keepable
from milepost.store.protocol import TypeInfo
from milepost.task import RESERVED_TYPE_NAMES, TYPE_NAME
from milepost.times import MINUTE, SECOND, parse_duration

Duration = str | int | float
"""`"30m"`, or seconds."""
EngineRunner = Literal["loop", "thread", "process"]


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
        self.name = name or function.__name__
        self.is_async = inspect.iscoroutinefunction(function)
        self.runner = runner or ("loop" if self.is_async else "thread")
        self.source: Source | None = source_of(function)
        self._check(retries, concurrency)
        self.backoff = Backoff(parse_duration(backoff), parse_duration(backoff_max))
        self.takes_context, self.input = _input_struct(self.name, function)
        # The schema has had its say at the start; to it, as to JSON, 1.0 is a whole number.
        self.decode = msgspec.json.Decoder(self.input, strict=False).decode
        self.info = TypeInfo(
            name=self.name,
            runner=self.runner,
            schema=_schema(self.name, self.input),
            description=inspect.getdoc(function) or "",
            max_attempts=retries + 1,
            timeout=None if timeout is None else parse_duration(timeout),
            priority=priority,
            concurrency=concurrency,
            keep_result=None if keep_result is None else parse_duration(keep_result),
            keep_record=None if keep_record is None else parse_duration(keep_record),
        )
        if self.info.timeout == 0:
            raise ValueError(f"{self.name}: the timeout must be more than 0.")

    def _check(self, retries: int, concurrency: int | None) -> None:
        if not TYPE_NAME.fullmatch(self.name):
            raise ValueError(
                f"{self.name!r} can't name a task type: a lower-case letter, then at most 63 of those, digits, _ and -."
            )
        if self.name in RESERVED_TYPE_NAMES:
            raise ValueError(f"{self.name!r} can't name a task type: a path of the HTTP API needs this word.")
        if retries < 0:
            raise ValueError(f"{self.name}: retries must not be negative.")
        if concurrency is not None and concurrency < 1:
            raise ValueError(f"{self.name}: concurrency must be at least 1.")
        if inspect.isgeneratorfunction(self.function) or inspect.isasyncgenfunction(self.function):
            raise ValueError(f"{self.name}: a generator can't be a task; tell of results on the way with ctx.log.")
        self._check_runner()

    def _check_runner(self) -> None:
        if self.runner not in typing.get_args(EngineRunner):
            raise ValueError(f"{self.name}: there is no runner {self.runner!r}; take loop, thread or process.")
        if self.runner == "loop" and not self.is_async:
            raise ValueError(f"{self.name}: the loop runs async functions; a plain one takes runner='thread'.")
        if self.runner == "thread" and self.is_async:
            raise ValueError(f"{self.name}: an async function runs on the loop or in a process, not in a thread.")
        if self.runner == "process" and self.source is None:
            raise ValueError(f"{self.name}: a process can only find functions at the top of a module.")

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


def _input_struct(name: str, function: Callable[..., Any]) -> tuple[bool, type[msgspec.Struct]]:
    """Whether the first parameter is the context, and a struct of the others, one field each."""
    parameters = list(inspect.signature(function).parameters.values())
    try:
        hints = typing.get_type_hints(function, include_extras=True)
    except NameError as error:
        raise ValueError(f"{name}: the types of its parameters must be known when the program runs: {error}.") from None
    first = parameters[0] if parameters else None
    takes_context = first is not None and (
        hints.get(first.name) in (Context, BlockingContext) or (first.name == "ctx" and first.name not in hints)
    )
    fields: list[tuple[str, Any] | tuple[str, Any, Any]] = []
    for parameter in parameters[takes_context:]:
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD, parameter.POSITIONAL_ONLY):
            raise ValueError(f"{name}: the parameter {parameter} can't be filled from JSON; give it a name of its own.")
        kind = hints.get(parameter.name, Any)
        if parameter.default is parameter.empty:
            fields.append((parameter.name, kind))
        else:
            fields.append((parameter.name, kind, _default(parameter.default)))
    return takes_context, msgspec.defstruct(f"{name}_input", fields, kw_only=True, forbid_unknown_fields=True)


def _default(value: Any) -> Any:
    """A default that calls can't share by changing it, or something in it."""
    is_constant = copy.deepcopy(value) is value
    return value if is_constant else msgspec.field(default_factory=lambda: copy.deepcopy(value))


def _schema(name: str, struct: type[msgspec.Struct]) -> dict[str, Any]:
    """The JSON Schema (2020-12) of the input; the outer struct is written out, not referred to."""
    try:
        (outer,), components = msgspec.json.schema_components([struct], ref_template="#/$defs/{name}")
    except TypeError as error:
        why = str(error).splitlines()[-1]
        raise ValueError(f"{name}: a parameter can't be read from JSON: {why}.") from None
    schema = dict(components.pop(outer["$ref"].rsplit("/", 1)[1]))
    schema.pop("title", None)
    return schema | ({"$defs": components} if components else {})
