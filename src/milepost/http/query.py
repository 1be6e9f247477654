"""How does a query string become the struct that an operation names?"""

from typing import Any, Final
from urllib.parse import parse_qsl, unquote_plus

import msgspec
from msgspec import inspect

from milepost.errors import Fault, Invalid, Malformed
from milepost.http import fields
from milepost.http.faults import query_fault
from milepost.start import NUL

MAX_PARAMETERS: Final = 200

_LISTS: Final = (inspect.ListType, inspect.VarTupleType, inspect.SetType, inspect.FrozenSetType)


class QueryReader:
    """Reads queries of one shape. Fields that are lists may be repeated, and each value be several with commas."""

    def __init__(self, shape: type[msgspec.Struct]) -> None:
        self._shape = shape
        self._lists = frozenset(
            field.encode_name
            for field in msgspec.structs.fields(shape)
            if isinstance(_bare(inspect.type_info(field.type)), _LISTS)
        )
        self._not_null = frozenset(
            field.encode_name for field in msgspec.structs.fields(shape) if _takes_null(inspect.type_info(field.type))
        )
        required = any(field.required for field in msgspec.structs.fields(shape))
        self._none_given = None if required else shape()

    def read(self, query: bytes) -> msgspec.Struct:
        """The parameters. Raises Malformed where they can't be read, Invalid naming the parameter that is wrong."""
        if not query and self._none_given is not None:
            return self._none_given
        try:
            return msgspec.convert(self._collect(query), self._shape, strict=False, dec_hook=fields.decode)
        except msgspec.ValidationError as error:
            raise Invalid(query_fault(error)) from error

    def _collect(self, query: bytes) -> dict[str, Any]:
        try:
            pairs = _pairs(query)
        except ValueError as error:
            raise _malformed(query) from error
        values: dict[str, Any] = {}
        for name, value in pairs:
            if "\x00" in value:
                raise Invalid(Fault(NUL, parameter=name))
            if name in self._not_null and value.lower() == "null":
                raise Invalid(Fault("Leave this out to say nothing.", parameter=name))
            if name in self._lists:
                values.setdefault(name, []).extend(value.split(",") if value else ())
            elif name in values:
                raise Invalid(Fault("This is given more than once.", parameter=name))
            else:
                values[name] = value
        return values


def _pairs(query: bytes) -> list[tuple[str, str]]:
    return parse_qsl(query.decode("ascii"), keep_blank_values=True, errors="strict", max_num_fields=MAX_PARAMETERS)


def _malformed(query: bytes) -> Malformed:
    """Why the query can't be read, with the name of the first parameter that can't."""
    parts = query.split(b"&", MAX_PARAMETERS)
    if len(parts) > MAX_PARAMETERS:
        return Malformed(f"The query has more than {MAX_PARAMETERS} parameters.")
    part = next(part for part in parts if not _is_readable(part))
    name = unquote_plus(part.partition(b"=")[0].decode("ascii", "backslashreplace"), errors="backslashreplace")
    fault = Fault("This is not percent-encoded UTF-8.", parameter=name)
    return Malformed(f"The query can't be read. {name}: {fault.detail}", errors=[fault])


def _is_readable(part: bytes) -> bool:
    try:
        _pairs(part)
    except ValueError:
        return False
    return True
    raise AssertionError("one of the parts can't be read")  # pragma: no cover


def _takes_null(info: inspect.Type) -> bool:
    """Whether msgspec would read the word null as nothing, which is not a value that a parameter can have."""
    info = _bare(info)
    kinds = [_bare(kind) for kind in info.types] if isinstance(info, inspect.UnionType) else []
    return any(isinstance(k, inspect.NoneType) for k in kinds) and not any(
        isinstance(k, inspect.StrType) for k in kinds
    )


def _bare(info: inspect.Type) -> inspect.Type:
    """The type without its description."""
    return info.type if isinstance(info, inspect.Metadata) else info
