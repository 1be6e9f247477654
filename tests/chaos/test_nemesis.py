"""Do faults depend on the seed alone?"""

from tests.chaos.nemesis import KINDS, schedule


def test_a_seed_gives_the_same_faults_again() -> None:
    assert schedule(7, 60) == schedule(7, 60)
    assert schedule(7, 60) != schedule(8, 60)


def test_every_fault_happens_where_there_is_time() -> None:
    for seed in range(20):
        faults = schedule(seed, 60)
        assert {fault.kind for fault in faults} == set(KINDS)
        assert all(0 < fault.at < 60 for fault in faults)


def test_workers_oversleep_several_times_in_a_minute() -> None:
    for seed in range(20):
        assert sum(fault.kind == "oversleep" for fault in schedule(seed, 50)) >= 3
