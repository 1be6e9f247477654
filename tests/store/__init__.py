"""What every store must do (`conformance.py`), and what each of them does besides."""

import pytest

PARTS = ("records", "leases", "dependencies", "time", "reading", "life", "waking")

pytest.register_assert_rewrite(f"{__name__}.scene", *(f"{__name__}.conformance_{part}" for part in PARTS))
