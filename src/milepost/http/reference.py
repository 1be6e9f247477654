"""How does an OpenAPI document read for people? As one page of plain HTML that needs no script and no other host."""

import base64
import hashlib
from collections.abc import Iterable, Iterator, Sequence
from html import escape
from importlib import resources
from textwrap import dedent
from typing import Any, Final

from milepost.http.dialect import Dialect
from milepost.http.openapi import Json
from milepost.http.problems import STATUSES, TYPES

_CSS: Final = resources.files(__package__).joinpath("reference.css").read_text("utf-8")
_CSS_HASH: Final = base64.b64encode(hashlib.sha256(_CSS.encode()).digest()).decode()

PAGE_HEADERS: Final = {
    "content-type": "text/html; charset=utf-8",
    "content-security-policy": (
        f"default-src 'none'; style-src 'sha256-{_CSS_HASH}'; base-uri 'none'; form-action 'none'; "
        "frame-ancestors 'none'"
    ),
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cache-control": "no-cache",
}

_REF: Final = "#/components/schemas/"


def page(document: Json, dialects: Sequence[Dialect], name: str, root: str) -> str:
    """The page of the dialect `name`, whose OpenAPI document this is; `root` is where the application is mounted."""
    info = document["info"]
    operations = [
        (method, path, operation) for path, item in document["paths"].items() for method, operation in item.items()
    ]
    groups: dict[str, list[tuple[str, str, Json]]] = {}
    for operation in operations:
        groups.setdefault((operation[2].get("tags") or ["Operations"])[0], []).append(operation)
    return "".join(
        [
            "<!doctype html><html lang=en><meta charset=utf-8>",
            "<meta name=viewport content='width=device-width, initial-scale=1'>",
            f"<title>{_text(info['title'])}: HTTP API</title><style>{_CSS}</style>",
            "<div class=layout>",
            _navigation(groups, dialects, name, root),
            f"<main><h1>{_text(info['title'])} <small>{_text(info['version'])}</small></h1>",
            _paragraphs(info["description"]),
            f"<p>For programs: <a href='{_text(f'{root}/openapi/{name}.json')}'>OpenAPI document</a>.</p>",
            *(_group(heading, operations) for heading, operations in groups.items()),
            _refusals(document["components"].get("responses", {})),
            _shapes(document["components"]["schemas"]),
            _problems(),
            "</main></div></html>",
        ]
    )


def _navigation(
    groups: dict[str, list[tuple[str, str, Json]]], dialects: Sequence[Dialect], name: str, root: str
) -> str:
    parts = ["<nav aria-label=Contents>"]
    if len(dialects) > 1:
        links = (
            f"<a{' class=here aria-current=page' if dialect.name == name else ''} "
            f"href='{_text(f'{root}/docs/{dialect.name}')}'>{_text(dialect.title)}</a>"
            for dialect in dialects
        )
        parts.append(f"<p>Dialects</p>{_list(links)}")
    for heading, operations in groups.items():
        links = (f"<a href='#{_anchor(method, path)}'>{_title(item, path)}</a>" for method, path, item in operations)
        parts.append(f"<p>{_text(heading)}</p>{_list(links)}")
    parts.append(f"<p>Reference</p>{_list(['<a href=#shapes>Shapes</a>', '<a href=#problems>Problems</a>'])}</nav>")
    return "".join(parts)


def _group(heading: str, operations: Iterable[tuple[str, str, Json]]) -> str:
    return f"<section><h2>{_text(heading)}</h2>{''.join(_operation(*operation) for operation in operations)}</section>"


def _operation(method: str, path: str, item: Json) -> str:
    parts = [
        f"<article id='{_anchor(method, path)}'><h3>{_title(item, path)}</h3>",
        f"<div class=call><b class={method}>{method.upper()}</b><code>{_text(path)}</code></div>",
        _paragraphs(item.get("description", "")),
    ]
    if parameters := item.get("parameters"):
        rows = (
            (parameter["name"], _parameter_type(parameter), parameter.get("description", ""))
            for parameter in parameters
        )
        parts.append(f"<h4>Parameters</h4>{_table(rows)}")
    if "requestBody" in item:
        content = item["requestBody"]["content"]
        shapes = [_type(kind["schema"]) for kind in content.values() if "schema" in kind]
        media_types = " or ".join(f"<code>{_text(media_type)}</code>" for media_type in content)
        parts.append(f"<h4>Body</h4><p>{shapes[0] if shapes else 'Bytes'}, as {media_types}</p>")
    parts.append(f"<h4>Answers</h4>{_answers(item['responses'])}</article>")
    return "".join(parts)


def _parameter_type(parameter: Json) -> str:
    place = "" if parameter["in"] == "query" else f" <span class=soft>in the {_text(parameter['in'])}</span>"
    return _type(parameter["schema"]) + place + _default(parameter["schema"])


def _answers(responses: Json) -> str:
    """What an operation answers itself, and with which refusals it does as others do."""
    shared = [status for status, answer in responses.items() if "$ref" in answer]
    table = _table(_answer_rows((status, answer) for status, answer in responses.items() if "$ref" not in answer))
    return table + (f"<p class=soft>Or a <a href=#refusals>refusal</a>: {', '.join(shared)}</p>" if shared else "")


def _refusals(responses: Json) -> str:
    if not responses:
        return ""
    rows = _answer_rows((name[-3:], answer) for name, answer in responses.items())
    head = "<section><h2 id=refusals>Refusals</h2><p>They look the same wherever an operation names them.</p>"
    return f"{head}{_table(rows)}</section>"


def _answer_rows(answers: Iterable[tuple[str, Json]]) -> list[tuple[str, str, str]]:
    rows = []
    for status, answer in answers:
        said: tuple[str, Json] = ("", {})
        media_type, content = next(iter(answer.get("content", {}).items()), said)
        shape = (
            _type(content["schema"]) if "schema" in content else f"<code>{_text(media_type)}</code>" * bool(media_type)
        )
        rows.append((status, shape, answer["description"]))
    return rows


def _shapes(schemas: Json) -> str:
    parts = ["<section><h2 id=shapes>Shapes</h2>"]
    for name, schema in schemas.items():
        parts.append(f"<article id='shape-{_text(name)}'><h3>{_text(name)}</h3>")
        parts.append(_paragraphs(schema.get("description", "")))
        required = schema.get("required", ())
        rows = (
            (field, _type(kind) + ("" if field in required else _may_lack(kind)), kind.get("description", ""))
            for field, kind in schema.get("properties", {}).items()
        )
        parts.append(_table(rows) if "properties" in schema else f"<p>{_type(schema)}</p>")
        parts.append("</article>")
    return "".join([*parts, "</section>"])


def _may_lack(schema: Json) -> str:
    return _default(schema) or " <span class=soft>optional</span>"


def _problems() -> str:
    rows = (
        f"<tr id='problem-{error.code}'><td><code>{TYPES}{error.code}</code><td>{status}<td>{_text(error.title)}"
        for error, status in sorted(STATUSES.items(), key=lambda item: (item[1], item[0].code))
    )
    return (
        "<section><h2 id=problems>Problems</h2><p>What is refused is told as "
        "<code>application/problem+json</code> (RFC 9457). Its <code>type</code> is one of these:</p>"
        f"<div class=wide><table>{''.join(rows)}</table></div></section>"
    )


def _type(schema: Json) -> str:
    """A JSON Schema in a few words."""
    if "$ref" in schema:
        name = _text(schema["$ref"].removeprefix(_REF))
        return f"<a href='#shape-{name}'>{name}</a>"
    if "anyOf" in schema:
        return " or ".join(dict.fromkeys(_type(choice) for choice in schema["anyOf"]))
    if "enum" in schema:
        return " · ".join(f"<code>{_text(value)}</code>" for value in schema["enum"])
    if schema.get("type") == "array":
        return f"list of {_type(schema.get('items', {}))}"
    name = "time" if schema.get("format") == "date-time" else schema.get("type", "any JSON")
    return _text(name) + _bounds(schema)


def _bounds(schema: Json) -> str:
    low, high = schema.get("minimum", ""), schema.get("maximum", "")
    return f" <span class=soft>{low} to {high}</span>" if high != "" else ""


def _default(schema: Json) -> str:
    value = schema.get("default")
    return "" if value in (None, [], {}, "") else f" <span class=soft>default</span> <code>{_text(value)}</code>"


def _table(rows: Iterable[tuple[str, str, str]]) -> str:
    lines = (
        f"<tr><td><code>{_text(name)}</code><td>{shape}<td>{_prose(description)}" for name, shape, description in rows
    )
    return f"<div class=wide><table>{''.join(lines)}</table></div>"


def _list(items: Iterable[str]) -> str:
    return f"<ul>{''.join(f'<li>{item}' for item in items)}</ul>"


def _title(item: Json, path: str) -> str:
    return _text(item.get("summary") or path)


def _anchor(method: str, path: str) -> str:
    return _text(method + path.replace("/", "-").replace("{", "").replace("}", ""))


def _paragraphs(text: str) -> str:
    """Text in paragraphs; indented ones are code."""
    blocks = text.split("\n\n") if text else []
    return "".join(
        f"<pre>{_text(dedent(block))}</pre>" if block.startswith("    ") else f"<p>{_prose(block)}</p>"
        for block in blocks
    )


def _prose(text: str) -> str:
    """Text whose `words` are shown as code."""
    return "".join(_spans(escape(text)))


def _spans(text: str) -> Iterator[str]:
    for index, part in enumerate(text.split("`")):
        yield f"<code>{part}</code>" if index % 2 else part


def _text(value: Any) -> str:
    return escape(str(value))
