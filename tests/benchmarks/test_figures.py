"""What is enough is judged by the ratio to the bare limit, round by round."""

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

FILE = Path(__file__).parents[2] / "benchmarks" / "figures.py"


@pytest.fixture(scope="module")
def figures() -> ModuleType:
    spec = importlib.util.spec_from_file_location("benchmark_figures", FILE)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_ratio_is_the_median_of_those_of_the_rounds(figures: ModuleType) -> None:
    figure = figures.Figure("drain", "run", "/s", [10.0, 40.0, 30.0], [100.0, 100.0, 60.0])
    assert figure.value == 30.0
    assert figure.ratio == 0.4


@pytest.mark.parametrize(("floor", "enough"), [(0.4, True), (0.5, False), (None, True)])
def test_a_share_below_its_floor_is_not_enough(figures: ModuleType, floor: float | None, enough: bool) -> None:
    figure = figures.Figure("drain", "run", "/s", [40.0], [100.0], floor)
    assert figure.is_enough is enough
    assert ("MISSED" in figures.table([figure])) is not enough


@pytest.mark.parametrize(("at_most", "enough"), [(10.0, True), (9.0, False)])
def test_a_value_above_its_ceiling_is_not_enough(figures: ModuleType, at_most: float, enough: bool) -> None:
    figure = figures.Figure("latency", "wait", "ms", [10.0], [1.0], at_most=at_most)
    assert figure.ratio is None
    assert figure.is_enough is enough
    assert ("MISSED" in figures.table([figure])) is not enough
