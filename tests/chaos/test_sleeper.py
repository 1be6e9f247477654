"""Is a worker that fell asleep in its turn to write told from others?"""

import os
from pathlib import Path

from milepost.store.sqlite.gate import Gate
from tests.chaos.sleeper import has_turn


def test_a_process_has_its_turn_while_it_is_past_the_gate(tmp_path: Path) -> None:
    store = tmp_path / "tasks.db"
    gate = Gate(store)
    assert not has_turn(os.getpid(), store)
    with gate:
        assert has_turn(os.getpid(), store)
        assert not has_turn(os.getppid(), store)
    assert not has_turn(os.getpid(), store)
    gate.close()
