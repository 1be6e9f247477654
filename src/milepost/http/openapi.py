"""What does a dialect's OpenAPI 3.1 document say? It is made of the very structs that read and render.

JSON Schema in it is of draft 2020-12, as msgspec writes it and as OpenAPI 3.1 takes it.
"""

import inspect
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import msgspec

from milepost import __version__
from milepost.http import fields
from milepost.http.dialect import JSON, Answer, Dialect, Operation
from milepost.http.refusals import refusals
from milepost.http.upload import OCTET_STREAM

OPENAPI: Final = "3.1.1"

_PARAMETER: Final = re.compile(r"\{(\w+)\}")

Json = dict[str, Any]


def document(dialect: Dialect, operations: Sequence[Operation], *, server: str, is_open: bool = False) -> Json:
    """The document of these operations of a dialect; `server` is the URL that their paths are relative to.

    `is_open` says whether nobody needs a key. Raises ValueError when two structs have one name.
    """
    schemas = Schemas()
    keys: list[Json] = [{name: []} for name in dialect.security]
    keyless = [*keys, {}]
    used: Counter[str] = Counter()
    paths: dict[str, Json] = {}
    for operation in operations:
        item = paths.setdefault(operation.path, {})[operation.method.lower()] = _operation(operation, schemas, used)
        if keys and operation.public:
            item["security"] = []
        elif keys and operation.caller is not None:
            item["security"] = keyless
    written: Json = {
        "openapi": OPENAPI,
        "info": {"title": dialect.title, "version": __version__, "description": inspect.getdoc(dialect) or ""},
        "servers": [{"url": server}],
        "tags": [{"name": group} for group in dict.fromkeys(operation.group for operation in operations) if group],
        "paths": paths,
        "components": {"schemas": dict(sorted(schemas.components.items()))},
    }
    if schemas.responses:
        written["components"]["responses"] = dict(sorted(schemas.responses.items()))
    if keys:
        written["components"]["securitySchemes"] = dict(dialect.security)
        written["security"] = keyless if is_open else keys
    return msgspec.json.decode(msgspec.json.encode(written), type=Json)  # defaults that are tuples become lists


class Schemas:
    """Writes types as JSON Schema and gathers the structs among them as components; and answers of many operations."""

    def __init__(self) -> None:
        self.components: dict[str, Json] = {}
        self.responses: dict[str, Json] = {}

    def of(self, kind: Any) -> Json:
        """The schema of a type. Raises ValueError when it brings another struct of a name that was there before."""
        (schema,), components = msgspec.json.schema_components(
            [kind], schema_hook=fields.schema, ref_template="#/components/schemas/{name}"
        )
        for name, component in components.items():
            if self.components.setdefault(name, component) != component:
                raise ValueError(f"Two structs are called {name}.")
        return schema

    def refusal(self, status: int, answer: Answer) -> Json:
        """A reference to a refusal that many operations share."""
        name = f"{answer.body.__name__}{status}"
        if name not in self.responses:
            self.responses[name] = _response(answer, self)
        return {"$ref": f"#/components/responses/{name}"}


def _operation(operation: Operation, schemas: Schemas, used: Counter[str]) -> Json:
    written: Json = {
        "operationId": _id(operation, used),
        "summary": operation.summary,
        "description": operation.description,
        "tags": [operation.group] if operation.group else [],
        "parameters": list(_parameters(operation, schemas)),
        "responses": _responses(operation, schemas) or {"default": {"description": "An answer."}},
    }
    if operation.body is not None:
        content = {"schema": schemas.of(operation.body)}
        bodies: Json = dict.fromkeys(operation.media_types, content)
        if operation.takes_files:
            bodies[OCTET_STREAM] = {}
        written["requestBody"] = {"required": not operation.body_optional, "content": bodies}
    elif operation.media_types != (JSON,):  # the handler reads it itself
        written["requestBody"] = {"required": True, "content": {kind: {} for kind in operation.media_types}}
    return {name: value for name, value in written.items() if value}


def _id(operation: Operation, used: Counter[str]) -> str:
    """Its handler's name, numbered where several operations share the handler."""
    name = getattr(operation.handler, "__name__", operation.method.lower())
    used[name] += 1
    return name if used[name] == 1 else f"{name}_{used[name]}"


def _parameters(operation: Operation, schemas: Schemas) -> Iterator[Json]:
    for name in _PARAMETER.findall(operation.path):
        yield _parameter("path", name, _not_empty(schemas.of(operation.parameters.get(name, str))), required=True)
    for field in msgspec.structs.fields(operation.query):
        schema = _without_null(schemas.of(field.type))
        if not field.required and field.default not in (msgspec.NODEFAULT, None, ()):
            schema["default"] = field.default
        parameter = _parameter("query", field.encode_name, _without_nul(schema), required=field.required)
        yield parameter | ({"style": "form", "explode": False} if schema.get("type") == "array" else {})
    for name, kind in operation.headers.items():
        yield _parameter("header", name, schemas.of(kind), required=False)


def _parameter(place: str, name: str, schema: Json, *, required: bool) -> Json:
    schema = dict(schema)
    described = {"description": schema.pop("description")} if "description" in schema else {}
    return {"name": name, "in": place, "required": required, **described, "schema": schema}


def _without_null(schema: Json) -> Json:
    """A parameter that may be left out is never null."""
    choices = [choice for choice in schema.get("anyOf", ()) if choice != {"type": "null"}]
    rest = {name: value for name, value in schema.items() if name != "anyOf"}
    match choices:
        case []:
            return rest
        case [choice]:
            return {**choice, **rest}
    return {**rest, "anyOf": choices}


def _responses(operation: Operation, schemas: Schemas) -> Json:
    written = {status: _response(answer, schemas) for status, answer in operation.answers.items()}
    for status, refusal in refusals(operation).items():
        if status not in written:
            written[status] = schemas.refusal(status, refusal)
        elif refusal.media_type not in written[status]["content"]:  # what it says with this status is no refusal
            written[status]["content"] |= _response(refusal, schemas)["content"]
    return {str(status): answer for status, answer in sorted(written.items())}


def _not_empty(schema: Json) -> Json:
    """The schema of a path's parameter, which is a whole segment: an empty one is none."""
    return {"minLength": 1, **schema} if schema.get("type") == "string" else schema


def _without_nul(schema: Json) -> Json:
    """The schema of a parameter, of which none is read with a NUL: text that says no more of itself has none."""
    if schema.get("type") == "array":
        return {**schema, "items": _without_nul(schema["items"])}
    is_any = schema.get("type") == "string" and not schema.keys() & {"enum", "format", "pattern"}
    return {**schema, **fields.NO_NUL} if is_any else schema


def _response(answer: Answer, schemas: Schemas) -> Json:
    written: Json = {"description": answer.description}
    if answer.headers:
        written["headers"] = {
            name: _header(text, is_certain=name in answer.certain) for name, text in answer.headers.items()
        }
    if answer.media_type is not None:
        content: Mapping[str, Any] = {} if answer.body is None else {"schema": schemas.of(answer.body)}
        written["content"] = {answer.media_type: content}
    if answer.links:
        written["links"] = {
            name: {"operationId": name, "parameters": dict(parameters)} for name, parameters in answer.links.items()
        }
    return written


def _header(description: str, *, is_certain: bool) -> Json:
    required = {"required": True} if is_certain else {}
    return {"description": description, **required, "schema": {"type": "string"}}
