"""How does a document of OpenAPI 3.1 read as one of 3.0, which most generators of clients still want?

The schemas differ: 3.1 has JSON Schema of draft 2020-12, 3.0 a dialect of its own of an older draft (OpenAPI 3.0.4,
section 4.7.24). What 3.0 can't say is left out, so that its document allows a little more, and never less.
"""

from collections.abc import Callable, Mapping
from typing import Any, Final

OPENAPI_30: Final = "3.0.4"

Json = dict[str, Any]

_LEFT_OUT: Final = frozenset(
    {"prefixItems", "patternProperties", "contentEncoding", "contentMediaType", "propertyNames", "$comment"}
)


def downgraded(document: Json) -> Json:
    """The document, of 3.1, as one of 3.0; the given one stays as it is."""
    written = {name: _walk(value) for name, value in document.items()}
    written["openapi"] = OPENAPI_30
    return written


def _walk(value: Any) -> Any:
    """What is not a schema, with the schemas in it."""
    if isinstance(value, list):
        return [_walk(item) for item in value]
    if not isinstance(value, dict):
        return value
    return {name: _schemas(name, inner) for name, inner in value.items()}


def _schemas(name: str, value: Any) -> Any:
    if name == "schema":
        return schema(value)
    if name == "schemas":
        return {component: schema(inner) for component, inner in value.items()}
    return _walk(value)


def schema(value: Any) -> Any:
    """A JSON Schema as 3.0 writes it."""
    if not isinstance(value, dict):  # true and false: anything, and nothing
        return {"not": {}} if value is False else {}
    written: Json = {}
    for name, inner in value.items():
        written |= _keyword(name, inner)
    if written.get("type") == "array":
        written.setdefault("items", {})
    if "$ref" in written and len(written) > 1:  # beside it nothing counts in 3.0
        written["allOf"] = [{"$ref": written.pop("$ref")}]
    return written


def _keyword(name: str, value: Any) -> Json:
    if name in _LEFT_OUT:
        return {}
    translate = _KEYWORDS.get(name)
    return {name: value} if translate is None else translate(name, value)


def _choices(name: str, choices: list[Any]) -> Json:
    """Choices, of which null is said in another way."""
    others = [schema(choice) for choice in choices if choice != {"type": "null"}]
    is_nullable = len(others) < len(choices)
    if not is_nullable or name == "allOf":
        return {name: others}
    if len(others) == 1 and "$ref" not in others[0]:
        return {**others[0], "nullable": True}
    return {("allOf" if len(others) == 1 else name): others, "nullable": True}


def _types(name: str, types: str | list[str]) -> Json:
    if types == "null":
        return {"nullable": True, "enum": [None]}
    if isinstance(types, str):
        return {name: types}
    others = [kind for kind in types if kind != "null"]
    nullable = {"nullable": True} if len(others) < len(types) else {}
    return ({name: others[0]} if len(others) == 1 else {"anyOf": [{name: kind} for kind in others]}) | nullable


_KEYWORDS: Final[Mapping[str, Callable[[str, Any], Json]]] = {
    "properties": lambda name, fields: {name: {field: schema(kind) for field, kind in fields.items()}},
    **dict.fromkeys(("items", "not", "additionalProperties"), lambda name, inner: {name: _inner(inner)}),
    **dict.fromkeys(("anyOf", "oneOf", "allOf"), _choices),
    "type": _types,
    "required": lambda name, fields: {name: fields} if fields else {},
    "const": lambda _, value: {"enum": [value]},
    "examples": lambda _, values: {"example": values[0]},
    "exclusiveMinimum": lambda name, bound: {"minimum": bound, name: True},
    "exclusiveMaximum": lambda name, bound: {"maximum": bound, name: True},
}
"""How each keyword that 3.0 writes otherwise is written in it."""


def _inner(value: Any) -> Any:
    return value if isinstance(value, bool) else schema(value)
