import re
from html import escape
from html.parser import HTMLParser
from typing import Any

import httpx2
import pytest
from starlette.responses import Response

from milepost.http.dialect import BEARER, Answer, Call, NoQuery, Operation
from milepost.http.dialects.native import Native
from milepost.http.openapi import document
from milepost.http.reference import PAGE_HEADERS, page

VOID = {"meta", "br", "link"}
OPTIONAL = {"li", "tr", "td"}
"""Elements whose end may be left out."""


class Reader(HTMLParser):
    """Reads a page, and what it leads to."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.ids: list[str] = []
        self.links: list[str] = []
        self.sources: list[str] = []
        self.open: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        said = dict(attrs)
        self.ids += [said["id"] or ""] if "id" in said else []
        self.links += [said["href"] or ""] if "href" in said else []
        self.sources += [value or "" for name, value in attrs if name in ("src", "srcset", "style") or name[:2] == "on"]
        if tag not in VOID | OPTIONAL:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


@pytest.fixture
async def text(client: httpx2.AsyncClient) -> str:
    """The page."""
    return (await client.get("/docs")).text


def test_every_link_leads_somewhere(text: str) -> None:
    read = Reader(text)
    assert read.open == []
    assert len(read.ids) == len(set(read.ids))
    inside = {link[1:] for link in read.links if link.startswith("#")}
    assert inside <= set(read.ids)
    assert {link for link in read.links if not link.startswith("#")} == {"/openapi/native.json"}


def test_it_needs_no_script_and_no_other_host(text: str) -> None:
    read = Reader(text)
    assert read.sources == []
    assert "<script" not in text
    assert "http:" not in text
    assert "https:" not in text
    assert re.search(r"url\(|@import", text) is None


async def test_the_policy_allows_its_style_and_nothing_else(client: httpx2.AsyncClient) -> None:
    policy = (await client.get("/docs")).headers["content-security-policy"]
    assert policy == PAGE_HEADERS["content-security-policy"]
    assert "default-src 'none'; style-src 'sha256-" in policy


def test_every_operation_and_every_shape_is_there(text: str) -> None:
    written = document(Native(), Native().operations(), server="/")
    for path, item in written["paths"].items():
        assert f"<code>{path}</code>" in text
        for operation in item.values():
            assert operation["summary"].replace("'", "&#x27;") in text
    for name in written["components"]["schemas"]:
        assert f"id='shape-{name}'" in text


def test_refusals_that_many_share_are_told_once(text: str) -> None:
    written = document(Native(), Native().operations(), server="/")
    assert "Or a <a href=#refusals>refusal</a>: 400, 401, 403, 421, 422, 429, 503</p>" in text
    for answer in written["components"]["responses"].values():
        assert text.count(escape(answer["description"])) == 1


class Odd(Native):
    """<b>Bold</b> & `code`.

        indented <code>

    Second paragraph.
    """

    name = "odd"
    title = "<Odd>"
    security = BEARER

    def operations(self) -> list[Operation]:
        answers = {200: Answer("<i>Text</i>.", media_type="text/<plain>")}
        return [
            Operation("GET", "/odd/{id}", self.handler, summary="<Odd>", answers=answers),
            Operation("POST", "/odd", self.handler, body=int | str),
            Operation("PUT", "/odd", self.handler, media_types=("image/png", "image/webp")),
        ]

    async def handler(self, call: Call[NoQuery, Any]) -> Response:
        raise NotImplementedError


def test_what_a_dialect_says_is_text_and_no_markup() -> None:
    odd = Odd()
    text = page(document(odd, odd.operations(), server="/"), [odd, Native()], "odd", "/x")
    Reader(text)
    for markup in ("<b>Bold", "<Odd>", "<i>", "<plain>", "indented <code>"):
        assert markup not in text
    assert "<p>&lt;b&gt;Bold&lt;/b&gt; &amp; <code>code</code>.</p><pre>indented &lt;code&gt;</pre><p>Second" in text
    assert "<a href='/x/docs/native'>Milepost</a>" in text
    assert "<a class=here aria-current=page href='/x/docs/odd'>&lt;Odd&gt;</a>" in text
    assert "An answer." in text
    assert "<p>Bytes, as <code>image/png</code> or <code>image/webp</code></p>" in text
