import pytest

from milepost.cli.faults import told
from milepost.cli.records import Fault, Problem


@pytest.mark.parametrize(
    ("fault", "text"),
    [
        (Fault("Wrong.", pointer="/input/rows"), "rows: Wrong."),
        (Fault("Wrong.", pointer="/input/a~1b/~0c/0"), "a/b/~c/0: Wrong."),
        (Fault("Wrong.", pointer="/input"), "--input: Wrong."),
        (Fault("Wrong.", pointer="/trigger/cron"), "--cron: Wrong."),
        (Fault("Wrong.", pointer="/depends_on/3"), "--depends-on: Wrong."),
        (Fault("Wrong.", pointer="/type"), "TYPE: Wrong. `milepost types` lists them."),
        (Fault("Wrong.", pointer=""), "Wrong."),
        (Fault("Wrong."), "Wrong."),
        (Fault("Wrong.", parameter="Idempotency-Key"), "--idempotency-key: Wrong."),
        (Fault("Wr\x1b[2Jong.", parameter="parent"), r"--parent: Wr\x1b[2Jong."),
    ],
)
def test_a_fault_is_told_by_what_was_typed(fault: Fault, text: str) -> None:
    assert told(Problem("Title", "Detail.", (fault,))) == text


def test_without_faults_it_is_told_as_the_server_does() -> None:
    assert told(Problem("Title", "Detail.")) == "Detail."
    assert told(Problem("Title")) == "Title"
    assert told(Problem("Title", errors=(Fault("One.", "/title"), Fault("Two.", "/run_at")))) == (
        "--title: One. --run-at: Two."
    )
