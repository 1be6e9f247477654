"""What may be sent to a function, as its signature says, and is all of that possible?

A parameter is a field of a struct that JSON is read into. What can't be one is refused when the function is registered,
by name, and not when the first task runs.
"""

import copy
import inspect
import typing
from collections.abc import Callable
from typing import Any, NamedTuple, NoReturn

import msgspec

from milepost.engine.context import BlockingContext, Context
from milepost.sealing import secret_names

Face = type[Context | BlockingContext]


class Signature(NamedTuple):
    """Whether the first parameter is the context, a struct of the others, and the JSON Schema (2020-12) of that."""

    takes_context: bool
    input: type[msgspec.Struct]
    schema: dict[str, Any]


def read_signature(name: str, function: Callable[..., Any], face: Face) -> Signature:
    """The signature of a function whose context would be a `face`.

    `name` is what messages call the function. Raises ValueError, naming the parameter that can't be one.
    """
    try:
        parameters = list(inspect.signature(function).parameters.values())
    except Exception as error:  # annotations are any code
        raise ValueError(f"{name}: its signature can't be read: {_why(error)}.") from None
    takes_context = bool(parameters) and _is_context(name, function, parameters[0], face)
    fields = [_field(name, function, parameter) for parameter in parameters[takes_context:]]
    struct = msgspec.defstruct(f"{name}_input", fields, kw_only=True, forbid_unknown_fields=True)
    try:
        signature = Signature(takes_context, struct, _schema(struct))
    except KeyError as error:  # msgspec's word for it
        raise ValueError(f"{name}: two types of its parameters have the same name: {error.args[0]}.") from None
    for secret in sorted(secret_names(signature.schema)):
        if signature.schema["properties"][secret].get("default") is not None:
            raise ValueError(
                f"{name}: the parameter {secret}: everybody could read the default of a secret; None may be one."
            )
    return signature


def _is_context(name: str, function: Callable[..., Any], first: inspect.Parameter, face: Face) -> bool:
    """Whether the first parameter is the context, by its type or, without one, its name."""
    if first.annotation is first.empty:
        if first.name in ("self", "cls"):
            raise ValueError(f"{name}: the parameter {first.name}: a method can't be a task, only a function.")
        is_context = first.name == "ctx"
    else:
        kind = _type(name, function, first)
        is_context = kind in (Context, BlockingContext)
        if is_context and kind is not face:
            made_with = "async def" if face is Context else "def"
            raise ValueError(f"{name}: the context {first.name} of a function made with {made_with} is {_name(face)}.")
    if is_context and first.kind not in (first.POSITIONAL_ONLY, first.POSITIONAL_OR_KEYWORD):
        raise ValueError(f"{name}: the context {first} is passed by position, so let it be a plain first parameter.")
    return is_context


def _field(name: str, function: Callable[..., Any], parameter: inspect.Parameter) -> tuple[str, Any, Any]:
    """A parameter as the field of a struct: name, type, default."""

    def refuse(why: str) -> NoReturn:
        raise ValueError(f"{name}: the parameter {parameter.name}: {why}.") from None

    if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD, parameter.POSITIONAL_ONLY):
        raise ValueError(f"{name}: the parameter {parameter} can't be filled from JSON; give it a name of its own.")
    if parameter.name.startswith("__"):
        refuse("names that begin with two underscores are Python's own")
    kind = _type(name, function, parameter)
    if kind in (Context, BlockingContext):
        refuse("the context has to be the first one")
    try:
        alone = msgspec.defstruct("alone", [(parameter.name, kind)])
        if not alone.__struct_fields__:
            raise TypeError(f"{_name(kind)} is no type of a value")
        msgspec.json.schema_components([alone])
        decode = msgspec.json.Decoder(kind).decode
    except Exception as error:  # msgspec raises whatever the types of fields within raise
        refuse(f"it can't be read from JSON: {_why(error)}")
    if parameter.default is parameter.empty:
        return parameter.name, kind, msgspec.NODEFAULT
    try:
        default = _default(parameter.default)
        if parameter.default is not msgspec.UNSET or msgspec.UnsetType not in typing.get_args(kind):
            decode(msgspec.json.encode(parameter.default))
    except Exception as error:  # a copy is any code too
        refuse(f"its default {_short(parameter.default)} is nothing that could be sent: {_why(error)}")
    return parameter.name, kind, default


def _type(name: str, function: Callable[..., Any], parameter: inspect.Parameter) -> Any:
    """The type of a parameter; anything where nothing is said."""
    if parameter.annotation is parameter.empty:
        return Any

    def alone() -> None: ...

    alone.__annotations__ = {parameter.name: parameter.annotation}
    try:
        space = inspect.unwrap(function).__globals__
        return typing.get_type_hints(alone, space, include_extras=True)[parameter.name]
    except Exception as error:  # an annotation is any code
        raise ValueError(
            f"{name}: the type of the parameter {parameter.name} must be known when the program runs: {_why(error)}."
        ) from None


def _default(value: Any) -> Any:
    """A default that calls can't share by changing it, or something in it."""
    is_constant = copy.deepcopy(value) is value
    return value if is_constant else msgspec.field(default_factory=lambda: copy.deepcopy(value))


def _schema(struct: type[msgspec.Struct]) -> dict[str, Any]:
    """The JSON Schema of the input; the outer struct is written out, not referred to."""
    (outer,), components = msgspec.json.schema_components([struct], ref_template="#/$defs/{name}")
    schema = dict(components.pop(outer["$ref"].rsplit("/", 1)[1]))
    schema.pop("title", None)
    return schema | ({"$defs": components} if components else {})


def _why(error: BaseException) -> str:
    """What an error says, as the end of a sentence."""
    lines = str(error).strip().splitlines()
    return lines[-1].rstrip(".") if lines else type(error).__name__


def _name(kind: Any) -> str:
    return getattr(kind, "__name__", None) or str(kind)


def _short(value: Any) -> str:
    try:
        return f"{value!r:.60}"
    except Exception:
        return type(value).__name__
