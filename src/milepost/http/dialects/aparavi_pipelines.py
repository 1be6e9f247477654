"""What does an Aparavi client ask to be started: what does the pipeline in its request say?"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Final

import msgspec

from milepost.errors import Fault, Invalid
from milepost.service import TypeInfo

STANDING: Final = "webhook"
"""The provider of a source that waits for deliveries."""
SOURCES: Final = ("file", STANDING)
"""The providers that a pipeline can start at where it names no source."""

_PROVIDERS: Final = " or ".join(repr(provider) for provider in SOURCES)


class Pipeline(msgspec.Struct, frozen=True):
    """A pipeline as a task type takes it."""

    input: dict[str, Any]
    """The arguments that the type has of what the pipeline says: `components`, with paths of this server, and more."""
    place: str
    """The pointer to it within the request."""
    stands: bool
    """Whether it waits for deliveries instead of running."""
    source_path: str | None
    """Where it reads, as the client said it."""
    destination_url: str | None
    faults: tuple[Fault, ...] = ()
    """What does not fit together in it. What its type says of it comes before."""


def read(body: Mapping[str, Any], info: TypeInfo | None, paths: Mapping[str, str]) -> Pipeline:
    """The pipeline in a request: under `pipeline`, else the request itself.

    `info` is of the type that runs pipelines, whose schema says what each field may be; `paths` maps published paths to
    those of this server. Raises Invalid for what can't be read.
    """
    place, pipeline = ("/pipeline", body["pipeline"]) if "pipeline" in body else ("", body)
    if not isinstance(pipeline, dict):
        raise Invalid(Fault("Expected object.", place))
    unreadable = list(_form_faults(pipeline, place))
    if unreadable:
        raise Invalid(*unreadable)
    said: list[dict[str, Any]] = pipeline["components"]
    components = _named(said)
    faults = tuple(_faults(components, pipeline.get("source"), place))
    if len(components) < len(said):
        faults = (Fault("Two components have the same id.", f"{place}/components"),)
    origin = pipeline.get("source") or next(iter(_sources(components)), "")
    source = components.get(origin, {})
    return Pipeline(
        _arguments(pipeline, [_here(component, paths) for component in said], info),
        place,
        source.get("provider") == STANDING,
        _text(source, "path"),
        next((url for component in said if (url := _text(component, "destination_url"))), None),
        faults,
    )


@contextmanager
def placed(place: str) -> Iterator[None]:
    """Inside, what the service finds wrong is named where a client has written it; `place` is that of its pipeline."""
    try:
        yield
    except Invalid as error:
        raise Invalid(*(_placed(fault, place) for fault in error.faults)) from error


def _placed(fault: Fault, place: str) -> Fault:
    pointer = fault.pointer or ""
    if pointer.startswith("/input"):
        return Fault(fault.detail, place + pointer.removeprefix("/input"))
    return Fault(fault.detail, parameter="name") if pointer == "/title" else Fault(fault.detail, place)


def _form_faults(pipeline: Mapping[str, Any], place: str) -> Iterator[Fault]:
    """What of it can't be read; whether it makes sense is asked later, and by the type's schema."""
    source, components = pipeline.get("source"), pipeline.get("components")
    if not isinstance(source, str | None):
        yield Fault("Expected text.", f"{place}/source")
    if not isinstance(components, list):
        yield Fault("This is required." if components is None else "Expected array.", f"{place}/components")
        return
    for number, component in enumerate(components):
        where = f"{place}/components/{number}"
        if not isinstance(component, dict):
            yield Fault("Expected object.", where)
            continue
        if not isinstance(component.get("provider"), str):
            yield Fault("Expected text." if "provider" in component else "This is required.", f"{where}/provider")
        for name in ("id", "name"):
            if not isinstance(component.get(name), str | None):
                yield Fault("Expected text.", f"{where}/{name}")
        if not isinstance(component.get("config", {}), dict):
            yield Fault("Expected object.", f"{where}/config")
        edges = component.get("input", [])
        if not isinstance(edges, list) or not all(isinstance(edge, dict) for edge in edges):
            yield Fault("Expected array of objects.", f"{where}/input")


def _arguments(pipeline: Mapping[str, Any], components: list[Any], info: TypeInfo | None) -> dict[str, Any]:
    """What of a pipeline the type takes; what an editor needs besides, such as a version, is passed over."""
    known = {} if info is None else info.schema.get("properties", {})
    return {name: value for name, value in pipeline.items() if name in known} | {"components": components}


def _named(components: Sequence[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """The components by id, by name where there is none; fewer than there are where two have the same."""
    return {c.get("id") or c.get("name") or f"number {number}": c for number, c in enumerate(components, 1)}


def _sources(components: Mapping[str, Mapping[str, Any]]) -> list[str]:
    return [name for name, component in components.items() if component["provider"] in SOURCES]


def _faults(components: Mapping[str, Mapping[str, Any]], source: str | None, place: str) -> Iterator[Fault]:
    """What does not fit together."""
    for number, (name, component) in enumerate(components.items()):
        for edge_number, edge in enumerate(component.get("input", [])):
            giver = edge.get("from")
            is_known = isinstance(giver, str) and giver in components
            if not is_known or giver == name:
                why = "from itself" if is_known else "which is no component"
                said = f"{name} takes its input from {giver!r:.80}, {why}."
                yield Fault(said, f"{place}/components/{number}/input/{edge_number}/from")
    if source:
        if source not in components:
            yield Fault("This is no component.", f"{place}/source")
        elif source not in _sources(components):
            yield Fault(f"A source has the provider {_PROVIDERS}.", f"{place}/source")
    elif len(_sources(components)) != 1:
        why = f"Without a source there has to be one component with the provider {_PROVIDERS}."
        yield Fault(why, f"{place}/source")


def _here(component: dict[str, Any], paths: Mapping[str, str]) -> dict[str, Any]:
    """A component whose path, if it has one, is this server's."""
    path = _text(component, "path")
    return component if path is None else component | {"config": component["config"] | {"path": local(path, paths)}}


def local(path: str, paths: Mapping[str, str]) -> str:
    """What a published path is here: by the longest of `paths` that it is, or lies beneath; else as it is."""
    for prefix in sorted(paths, key=len, reverse=True):
        bare = prefix.rstrip("/")
        if path in (prefix, bare or prefix) or path.startswith(f"{bare}/"):
            return paths[prefix].rstrip("/") + path[len(bare) :]
    return path


def _text(component: Mapping[str, Any], name: str) -> str | None:
    value = component.get("config", {}).get(name)
    return value if isinstance(value, str) else None
