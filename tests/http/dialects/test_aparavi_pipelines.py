"""What a request for a pipeline says, and what is wrong with one is named in its own words."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from milepost.errors import Fault, Invalid
from milepost.http.dialects.aparavi_pipelines import Pipeline, local, placed, read
from milepost.service import TypeInfo

INFO = TypeInfo("pipeline", "thread", {"properties": {"components": {}, "source": {}, "depth": {}}})
FILE: dict[str, Any] = {"provider": "file", "config": {"path": "/data/source"}}
TEXT: dict[str, Any] = {"id": "text_1", "provider": "text", "input": [{"lane": "data", "from": "number 1"}]}
WEBHOOK: dict[str, Any] = {"id": "webhook_1", "provider": "webhook", "config": {"mode": "Source"}}


def components(*given: Any, **more: Any) -> dict[str, Any]:
    return {"components": list(given), **more}


def test_it_stands_alone_or_under_its_name() -> None:
    for body, place in (
        (components(FILE), ""),
        ({"pipeline": components(FILE), "errors": [], "warnings": []}, "/pipeline"),
    ):
        assert read(body, INFO, {}) == Pipeline({"components": [FILE]}, place, False, "/data/source", None)


def test_its_paths_become_this_server_s_and_what_was_published_is_kept() -> None:
    found = read(components(FILE, TEXT, source="number 1"), INFO, {"/data": "elsewhere", "/data/source": "documents"})
    assert found.input == {
        "components": [FILE | {"config": {"path": "documents"}}, TEXT],
        "source": "number 1",
    }
    assert found.source_path == "/data/source"
    assert FILE["config"] == {"path": "/data/source"}, "what was sent stays as it is"


def test_what_the_type_takes_is_passed_on_and_nothing_else() -> None:
    body = components(FILE, depth=3, version=7, viewport={})
    assert read(body, INFO, {}).input == {"components": [FILE], "depth": 3}
    assert read(body, None, {}).input == {"components": [FILE]}


@pytest.mark.parametrize(
    ("body", "stands"),
    [
        (components(WEBHOOK), True),
        (components(TEXT | {"input": []}, WEBHOOK, source="webhook_1"), True),
        (components(FILE, WEBHOOK, source="number 1"), False),
        (components(WEBHOOK, TEXT | {"input": []}, source="text_1"), False),
        (components(WEBHOOK, source=None), True),
        (components(WEBHOOK | {"id": None, "name": None}, source=""), True),
    ],
)
def test_it_stands_where_its_source_is_a_webhook(body: dict[str, Any], stands: bool) -> None:
    assert read(body, INFO, {}).stands is stands


def test_where_it_leads_is_kept() -> None:
    upload = {"provider": "text", "config": {"destination_url": "https://example.com/upload"}}
    assert read(components(FILE, upload, upload), INFO, {}).destination_url == "https://example.com/upload"


@pytest.mark.parametrize(
    ("body", "places"),
    [
        ({}, {"/components": "This is required."}),
        ({"pipeline": None}, {"/pipeline": "Expected object."}),
        ({"pipeline": {}}, {"/pipeline/components": "This is required."}),
        ({"components": {}, "source": 1}, {"/components": "Expected array.", "/source": "Expected text."}),
        (components(1, {}), {"/components/0": "Expected object.", "/components/1/provider": "This is required."}),
        (
            components({"provider": 1, "id": 1, "name": [], "config": [], "input": {}}),
            {
                "/components/0/provider": "Expected text.",
                "/components/0/id": "Expected text.",
                "/components/0/name": "Expected text.",
                "/components/0/config": "Expected object.",
                "/components/0/input": "Expected array of objects.",
            },
        ),
        (components(FILE | {"input": [1]}), {"/components/0/input": "Expected array of objects."}),
        (components(WEBHOOK, WEBHOOK), {"/components": "Two components have the same id."}),
        (
            components(FILE, TEXT | {"input": [{"from": "x"}, {}, {"from": "number 1"}, {"from": ["x"]}]}),
            {
                "/components/1/input/0/from": "text_1 takes its input from 'x', which is no component.",
                "/components/1/input/1/from": "text_1 takes its input from None, which is no component.",
                "/components/1/input/3/from": "text_1 takes its input from ['x'], which is no component.",
            },
        ),
        (components(FILE, source="file_1"), {"/source": "This is no component."}),
        *(
            (
                components(*some),
                {
                    "/source": "Without a source there has to be one component with the provider 'file' or 'webhook'.",
                },
            )
            for some in ([], [FILE, FILE], [FILE, WEBHOOK], [{"provider": "text"}])
        ),
    ],
)
def test_what_is_wrong_is_named(body: dict[str, Any], places: dict[str, str]) -> None:
    try:
        faults = read(body, INFO, {}).faults
    except Invalid as refused:
        faults = refused.faults
    assert {fault.pointer: fault.detail for fault in faults} == places


NAMES = st.sampled_from(
    ["pipeline", "components", "provider", "config", "input", "id", "name", "source", "from", "path"]
)
VALUES: st.SearchStrategy[Any] = st.sampled_from([None, 1, "", "file", "webhook", "a", "/data", [], {}])
JSON = st.recursive(VALUES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=4))
COMPONENTS = st.fixed_dictionaries({"provider": JSON}, optional={"id": JSON, "config": JSON, "input": JSON})
BODIES = st.dictionaries(NAMES, JSON, max_size=4) | st.fixed_dictionaries(
    {"components": st.lists(COMPONENTS | JSON, max_size=4)}, optional={"source": JSON}
)


@given(BODIES)
def test_whatever_is_sent_is_read_or_refused_with_its_place(body: dict[str, Any]) -> None:
    try:
        faults = read(body, INFO, {"/data": "here"}).faults
    except Invalid as refused:
        faults = refused.faults
        assert faults
    for fault in faults:
        steps = (fault.pointer or "").split("/")[1:]
        value: Any = body
        for step in steps[:-1]:  # up to the last, which may be what is missing
            value = value[int(step)] if isinstance(value, list) else value[step]
        assert isinstance(value, list | dict)


def test_what_the_service_finds_is_named_where_it_was_sent() -> None:
    found = (Fault("a", "/input/components/0"), Fault("b", "/title"), Fault("c", "/type"), Fault("d"))
    with pytest.raises(Invalid) as refused, placed("/pipeline"):
        raise Invalid(*found)
    assert refused.value.faults == (
        Fault("a", "/pipeline/components/0"),
        Fault("b", parameter="name"),
        Fault("c", "/pipeline"),
        Fault("d", "/pipeline"),
    )


@pytest.mark.parametrize(
    ("path", "here"),
    [
        ("/data/source", "documents"),
        ("/data/source/", "documents/"),
        ("/data/source/a/b", "documents/a/b"),
        ("/data/source/../b", "documents/../b"),
        ("/data/sources", "all/sources"),
        ("/data", "all"),
        ("/database", "root/database"),
        ("data/source", "data/source"),
        ("", ""),
    ],
)
def test_the_longest_published_path_decides(path: str, here: str) -> None:
    paths = {"/data": "all", "/data/source": "documents/", "/": "root"}
    assert local(path, paths) == here


SEGMENTS = st.text("ab", min_size=1, max_size=3)
PATHS = st.lists(SEGMENTS, min_size=1, max_size=4).map(lambda parts: "/" + "/".join(parts))


@given(PATHS, st.lists(SEGMENTS, max_size=3), PATHS)
def test_what_lies_beneath_a_published_path_lies_beneath_its_own(prefix: str, rest: list[str], other: str) -> None:
    beneath = "".join(f"/{part}" for part in rest)
    assert local(prefix + beneath, {prefix: "here"}) == f"here{beneath}"
    if not f"{other}/".startswith(f"{prefix}/"):
        assert local(other, {prefix: "here"}) == other
