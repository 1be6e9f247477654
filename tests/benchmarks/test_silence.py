"""The times of two kinds of refusals are told apart where they differ, and the tool asks in each of its ways."""

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

FILE = Path(__file__).parents[2] / "benchmarks" / "silence.py"


@pytest.fixture(scope="module")
def silence() -> ModuleType:
    spec = importlib.util.spec_from_file_location("benchmark_silence", FILE)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_t_is_welch_s(silence: ModuleType) -> None:
    assert silence.welch([1.0, 2.0, 3.0], [2.0, 4.0, 6.0]) == pytest.approx(-2 / (1 / 3 + 4 / 3) ** 0.5)
    assert silence.welch([1.0, 1.0], [1.0, 1.0]) == 0
    assert silence.welch([2.0, 2.0], [1.0, 1.0]) == float("inf")


def test_times_that_differ_are_not_enough(silence: ModuleType) -> None:
    alike = silence.Compared("read", [1.0, 2.0, 3.0], [1.0, 2.0, 3.1])
    apart = silence.Compared("read", [1.0, 1.1, 1.2] * 100, [2.0, 2.1, 2.2] * 100)
    assert (alike.is_enough, apart.is_enough) == (True, False)
    assert silence.table([alike, apart]).count("MISSED") == 1


async def test_each_way_is_asked_in_pairs(silence: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(silence, "TASKS", 3)
    found = await silence.measure(tmp_path, 5)
    assert [each.way for each in found] == list(silence.WAYS)
    for each in found:
        assert len(each.theirs) == len(each.absent) == 5
        assert min(*each.theirs, *each.absent) > 0
