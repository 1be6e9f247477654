import pytest

from milepost.store.protocol import EVERYTHING, Filter, Scope
from milepost.store.sqlite.lists import paths
from milepost.task import State
from tests.store.scene import ACME, BOB

ITS = {"its_tenant": "acme"}
MINE = [
    ("find_by_owner", {"its_tenant": "acme", "its_person": "bob"}),
    ("find_by_assignee", {"its_tenant": "acme", "its_person": "bob"}),
]


@pytest.mark.parametrize(
    ("filter", "scope", "expected"),
    [
        (Filter(), EVERYTHING, [("find_anywhere", {})]),
        (Filter(states=(State.RUNNING, State.PAUSED)), EVERYTHING, [("find_live", {})]),
        (Filter(states=(State.RUNNING, State.FAILED)), EVERYTHING, [("find_anywhere", {})]),
        (Filter(tenant="acme"), EVERYTHING, [("find_in_tenant", ITS)]),
        (Filter(), ACME, [("find_in_tenant", ITS)]),
        (Filter(), BOB, MINE),
        (Filter(tenant="acme"), BOB, MINE),
        (Filter(), Scope("bob", own=("acme",), assigned=False), MINE[:1]),
        (Filter(), Scope("bob", whole=("acme",), own=("acme",)), [("find_in_tenant", ITS)]),
        (Filter(number=7), ACME, [("find_by_number", ITS)]),
        (Filter(owner="ann"), ACME, [("find_by_owner", {**ITS, "its_person": "ann"})]),
        (Filter(assignee="ann"), ACME, [("find_by_assignee", {**ITS, "its_person": "ann"})]),
        (Filter(list_id="l", tenant="acme"), ACME, [("find_by_list", {})]),
        (Filter(parent="p"), BOB, [("find_by_parent", {})]),
        (Filter(depends_on="d"), BOB, [("find_by_dependency", {})]),
        (Filter(), Scope("nobody"), []),
    ],
)
def test_every_list_has_a_path(filter: Filter, scope: Scope, expected: object) -> None:
    assert list(paths(filter, scope)) == expected
