from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice

from hypothesis import given
from hypothesis import strategies as st

from milepost.turns import Line, Turns, Waiting, between_tenants


def lane(tenant: str, *rows: int, priority: int = 0) -> Iterator[Waiting]:
    return iter([Waiting(priority, tenant, row, 0) for row in rows])


def lines(**waiting: Sequence[Waiting]) -> dict[str, Line]:
    return {name: Line(some[0].priority, iter(some)) for name, some in waiting.items() if some}


def test_tenants_have_one_turn_each_until_nothing_is_left() -> None:
    order = between_tenants([lane("a", 1, 2, 5), lane("b"), lane("c", 3), lane("d", 4, 6)])
    assert [waiting.row for waiting in order] == [1, 3, 4, 2, 6, 5]


def test_no_lane_is_asked_for_before_its_turn() -> None:
    asked: list[str] = []

    def lanes() -> Iterator[Iterator[Waiting]]:
        for tenant in "abc":
            asked.append(tenant)
            yield lane(tenant, 1, 2)

    order = between_tenants(lanes())
    assert next(order).tenant == "a"
    assert asked == ["a"]


def test_types_have_one_turn_each_and_the_next_where_the_last_claim_ended() -> None:
    turns = Turns()
    a, b = [Waiting(0, "t", row, 0) for row in (1, 2, 3)], [Waiting(0, "t", row, 0) for row in (4, 5)]
    order = turns.between_types(lines(a=a, b=b))
    assert [next(order)[0] for _ in range(3)] == ["a", "b", "a"]
    assert [name for name, _ in turns.between_types(lines(a=a[2:], b=b[1:]))] == ["b", "a"]


def test_higher_priority_comes_first() -> None:
    order = Turns().between_types(
        lines(a=[Waiting(5, "t", 1, 0), Waiting(-1, "t", 2, 0)], b=[Waiting(3, "t", 3, 0), Waiting(0, "t", 4, 0)], c=[])
    )
    assert [waiting.priority for _, waiting in order] == [5, 3, 0, -1]


def test_the_next_of_a_line_is_asked_for_once_the_one_before_is_taken() -> None:
    taken: list[int] = []

    def line() -> Iterator[Waiting]:
        for row in range(3):
            assert taken == list(range(row))
            yield Waiting(0, "t", row, 0)

    for _, waiting in Turns().between_types({"a": Line(0, line())}):
        taken.append(waiting.row)
    assert taken == [0, 1, 2]


def test_who_had_the_last_turn_of_a_level_is_remembered_for_so_many_levels() -> None:
    turns = Turns(remembered=2)
    assert turns.last("a", 0) == ""
    for priority, tenant in ((1, "x"), (2, "y"), (1, "z"), (3, "w")):
        list(turns.between_types({"a": Line(priority, lane(tenant, 1, priority=priority))}))
    assert [turns.last("a", priority) for priority in (1, 2, 3)] == ["z", "", "w"]


def in_order(waiting: Mapping[str, Mapping[str, int]], turns: Turns) -> Iterator[tuple[str, Waiting]]:
    """What a store does, for types with so many tasks of their tenants, all on one level."""

    def line(name: str, tenants: Mapping[str, int]) -> Line:
        last = turns.last(name, 0)
        following = sorted(tenants, key=lambda tenant: (tenant <= last, tenant))
        return Line(0, between_tenants(lane(tenant, *range(tenants[tenant])) for tenant in following))

    return turns.between_types({name: line(name, tenants) for name, tenants in waiting.items() if tenants})


@given(
    st.dictionaries(
        st.sampled_from("abc"), st.dictionaries(st.sampled_from("tuvwx"), st.integers(1, 6), min_size=1), min_size=1
    ),
    st.integers(1, 7),
)
def test_nobody_waits_longer_than_a_round(backlog: dict[str, dict[str, int]], limit: int) -> None:
    """However many are claimed at once: between two turns of somebody nobody else who waits has more than two."""
    turns = Turns()
    left = {name: Counter(tenants) for name, tenants in backlog.items()}
    order: list[tuple[str, str]] = []
    while any(tenants.total() for tenants in left.values()):
        there = {name: {tenant: n for tenant, n in tenants.items() if n} for name, tenants in left.items()}
        claimed = [(name, waiting.tenant) for name, waiting in islice(in_order(there, turns), limit)]
        for name, tenant in claimed:
            left[name][tenant] -= 1
        order += claimed
    for name, tenants in backlog.items():
        for tenant, number in tenants.items():
            places = [at for at, who in enumerate(order) if who == (name, tenant)]
            assert len(places) == number
            for before, after in zip([-1, *places], places, strict=False):
                between = Counter(who for who in order[before + 1 : after] if who[0] == name)
                assert all(times <= 2 for times in between.values())
