import gc
from collections.abc import Iterator

import pytest

from milepost.cli.garbage import ALL, OLDER, YOUNG, settle


@pytest.fixture
def as_it_was() -> Iterator[None]:
    before = gc.get_threshold()
    yield
    gc.set_threshold(*before)
    gc.unfreeze()


@pytest.mark.usefixtures("as_it_was")
def test_a_server_leaves_alone_what_is_there_to_stay() -> None:
    settle()
    assert gc.get_freeze_count() > 0
    assert gc.get_threshold() == (YOUNG, OLDER, ALL)
