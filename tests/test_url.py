"""URLs, as they are told of."""

import pytest

from milepost.url import told


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("https://ada:secret@example.com/a@b?c@d", "https://***@example.com/a@b?c@d"),
        ("https://ada:se@cret@example.com", "https://***@example.com"),
        ("https://ada@example.com#x", "https://***@example.com#x"),
        ("https://example.com/a//b@c", "https://example.com/a//***@c"),
        ("https://example.com", "https://example.com"),
        ("tasks.db", "tasks.db"),
    ],
)
def test_names_and_passwords_are_left_out(url: str, expected: str) -> None:
    assert told(url) == expected
