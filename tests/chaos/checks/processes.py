"""Did the processes themselves behave: none left behind, none broken, no answer that only says that it broke?"""

import signal
from collections import Counter
from collections.abc import Iterator

from tests.chaos.evidence import Evidence, Violation
from tests.chaos.jobs import EXIT_CODE

EXPECTED = frozenset({0, 1, EXIT_CODE})
"""Exit codes: told to stop, made way or could not open its store, taken down by a task."""

MEANT = frozenset({-signal.SIGKILL, -signal.SIGTERM})
"""What was sent. SIGTERM kills who has not yet come to heed it."""


def check(evidence: Evidence) -> Iterator[Violation]:
    """All that is wrong with processes and their answers."""
    for pid in evidence.orphans:
        yield Violation("process", f"process {pid} outlived those who had started it")
    for end in evidence.ends:
        if end.code not in EXPECTED and not (end.was_meant and end.code in MEANT):
            yield Violation("process", f"{end.member} ended with {end.code}")
    broken = Counter((op.action, op.status) for op in evidence.operations if op.status >= 500 and op.status != 503)
    for (action, status), number in broken.items():
        yield Violation("http", f"{number} times {action} was answered with {status}")
