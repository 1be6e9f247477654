"""Do the promises hold for a while in which everything fails? See CONTRIBUTING.md for how to let it run for long."""

from pathlib import Path
from typing import Final

import pytest

from tests.chaos.conftest import REPORTS
from tests.chaos.nemesis import KINDS
from tests.chaos.run import Settings, run

SEED: Final = 1
SECONDS: Final = 50


@pytest.mark.timeout(180)
async def test_p1_p2_p3_p4_p5_p7_p8_p9_hold_while_everything_fails(tmp_path: Path, pytestconfig: pytest.Config) -> None:
    report = await run(Settings(SEED, SECONDS, tmp_path))
    pytestconfig.stash[REPORTS].append(str(report))
    assert not report.violations, str(report)
    assert report.counts["lost"] == 0
    assert int(report.counts["of them while a newer try ran"]) >= 1, str(report)
    assert all(report.counts[f"faults ({kind})"] for kind in KINDS), str(report)
