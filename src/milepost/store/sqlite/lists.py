"""By which index is a list of tasks found?

Lists are in order of the rows, newest first. Every path leads through an index that has this order, so that a page
costs what it holds; several paths are merged.
"""

from collections.abc import Iterator, Mapping
from typing import Any, Final

import msgspec

from milepost.store.protocol import Filter, Scope
from milepost.task import State

END: Final = 2**63 - 1
"""A place behind the newest task."""

# Of these there are few beside all tasks, so that they are found first and put in order then.
_FEW: Final = frozenset({State.SCHEDULED, State.BLOCKED, State.RUNNING, State.PAUSED})

Path = tuple[str, Mapping[str, str]]
"""A statement's name, and its parameters besides those of every list."""


def wishes(filter: Filter) -> dict[str, Any]:
    """The parameters of the statement part `matching`."""
    asked = msgspec.structs.asdict(filter)
    states = asked.pop("states")
    return {**asked, "states": msgspec.json.encode(states).decode() if states else None}


def paths(filter: Filter, scope: Scope) -> Iterator[Path]:
    """Where to look for what the filter asks for, among what the caller may see."""
    if filter.list_id is not None:
        yield "find_by_list", {}
    elif filter.parent is not None:
        yield "find_by_parent", {}
    elif filter.depends_on is not None:
        yield "find_by_dependency", {}
    elif filter.tenant is not None:
        yield from _in_tenant(filter.tenant, filter, scope)
    elif scope.whole is None and filter.number is not None:
        yield "find_by_number_anywhere", {}
    elif scope.whole is None:
        few = filter.states and _FEW.issuperset(filter.states)
        yield ("find_live" if few else "find_anywhere"), {}
    else:
        for tenant in dict.fromkeys((*scope.whole, *scope.own)):
            yield from _in_tenant(tenant, filter, scope)


def _in_tenant(tenant: str, filter: Filter, scope: Scope) -> Iterator[Path]:
    its = {"its_tenant": tenant}
    if filter.number is not None:
        yield "find_by_number", its
    elif filter.owner is not None:
        yield "find_by_owner", {**its, "its_person": filter.owner}
    elif filter.assignee is not None:
        yield "find_by_assignee", {**its, "its_person": filter.assignee}
    elif scope.whole is None or tenant in scope.whole:
        yield "find_in_tenant", its
    else:
        yield "find_by_owner", {**its, "its_person": scope.name}
        if scope.assigned:
            yield "find_by_assignee", {**its, "its_person": scope.name}
