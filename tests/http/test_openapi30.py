from typing import Any

import httpx2
import pytest
from openapi_spec_validator import OpenAPIV30SpecValidator, validate

from milepost.http.openapi30 import downgraded, schema


async def test_the_native_document_is_valid_as_3_0_too(client: httpx2.AsyncClient) -> None:
    newer = (await client.get("/openapi/native.json")).json()
    older = (await client.get("/openapi/native-3.0.json")).json()
    assert newer["openapi"].startswith("3.1.")
    assert older["openapi"].startswith("3.0.")
    validate(older, cls=OpenAPIV30SpecValidator)
    assert older["paths"].keys() == newer["paths"].keys()
    assert older["components"]["schemas"].keys() == newer["components"]["schemas"].keys()


@pytest.mark.parametrize(
    ("newer", "older"),
    [
        ({"type": "string", "format": "uuid"}, {"type": "string", "format": "uuid"}),
        ({"anyOf": [{"type": "string"}, {"type": "null"}]}, {"type": "string", "nullable": True}),
        ({"anyOf": [{"type": "string"}, {"type": "integer"}]}, {"anyOf": [{"type": "string"}, {"type": "integer"}]}),
        (
            {"anyOf": [{"type": "string"}, {"type": "integer"}, {"type": "null"}]},
            {"anyOf": [{"type": "string"}, {"type": "integer"}], "nullable": True},
        ),
        (
            {"anyOf": [{"$ref": "#/components/schemas/A"}, {"type": "null"}]},
            {"allOf": [{"$ref": "#/components/schemas/A"}], "nullable": True},
        ),
        (
            {"$ref": "#/components/schemas/A", "description": "What."},
            {"allOf": [{"$ref": "#/components/schemas/A"}], "description": "What."},
        ),
        ({"$ref": "#/components/schemas/A"}, {"$ref": "#/components/schemas/A"}),
        ({"type": ["string", "null"]}, {"type": "string", "nullable": True}),
        ({"type": ["string", "integer"]}, {"anyOf": [{"type": "string"}, {"type": "integer"}]}),
        ({"type": "null"}, {"nullable": True, "enum": [None]}),
        ({"const": "a"}, {"enum": ["a"]}),
        ({"type": "string", "examples": ["a", "b"]}, {"type": "string", "example": "a"}),
        ({"type": "number", "exclusiveMinimum": 0}, {"type": "number", "minimum": 0, "exclusiveMinimum": True}),
        ({"type": "number", "exclusiveMaximum": 9}, {"type": "number", "maximum": 9, "exclusiveMaximum": True}),
        ({"type": "array", "prefixItems": [{}]}, {"type": "array", "items": {}}),
        ({"type": "array", "items": {"const": 1}}, {"type": "array", "items": {"enum": [1]}}),
        (
            {"type": "object", "properties": {"type": {"const": 1}}, "additionalProperties": False},
            {"type": "object", "properties": {"type": {"enum": [1]}}, "additionalProperties": False},
        ),
        ({"type": "object", "required": []}, {"type": "object"}),
        ({"type": "object", "required": ["a"]}, {"type": "object", "required": ["a"]}),
        ({"additionalProperties": {"const": 1}}, {"additionalProperties": {"enum": [1]}}),
        (True, {}),
        (False, {"not": {}}),
    ],
)
def test_what_3_0_writes_otherwise(newer: Any, older: Any) -> None:
    assert schema(newer) == older


def test_the_given_document_stays_as_it_is() -> None:
    given = {"openapi": "3.1.1", "components": {"schemas": {"A": {"const": 1}}}, "tags": [{"name": "schema"}]}
    assert downgraded(given)["components"] == {"schemas": {"A": {"enum": [1]}}}
    assert given == {"openapi": "3.1.1", "components": {"schemas": {"A": {"const": 1}}}, "tags": [{"name": "schema"}]}
