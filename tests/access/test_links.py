import pytest
from hypothesis import given
from hypothesis import strategies as st

from milepost.access.links import LIFETIME, STEP, Linked, Links

LINKED = Linked("0190b3c2-7f00-7000-8000-00000000000a", 3)
NOW = 500_000 * LIFETIME
LINKS = Links(b"k" * 32)


@given(started=st.integers(0, STEP - 1), passed=st.integers(LIFETIME - STEP, LIFETIME + 2 * STEP))
def test_a_link_holds_for_an_hour_to_the_minute(started: int, passed: int) -> None:
    link = LINKS.make(LINKED, now=NOW + started)
    holds = LINKS.read(link, now=NOW + started + passed) == LINKED
    assert holds or passed > LIFETIME
    assert not holds or passed <= LIFETIME + STEP


def test_links_are_the_same_within_a_minute() -> None:
    assert LINKS.make(LINKED, now=NOW) == LINKS.make(LINKED, now=NOW + STEP - 1)
    assert LINKS.make(LINKED, now=NOW) != LINKS.make(LINKED, now=NOW + STEP)
    assert LINKS.make(LINKED, now=NOW) != LINKS.make(LINKED._replace(run=4), now=NOW)


@pytest.mark.parametrize(
    "change", [lambda link: link[:-1], lambda link: "x" + link, lambda link: "", lambda link: "ä.b"]
)
def test_what_is_no_link_leads_nowhere(change: object) -> None:
    assert callable(change)
    assert LINKS.read(change(LINKS.make(LINKED, now=NOW)), now=NOW) is None


def test_another_store_s_link_leads_nowhere() -> None:
    assert Links(b"other" * 8).read(LINKS.make(LINKED, now=NOW), now=NOW) is None


@given(position=st.integers(0, 200), character=st.sampled_from("abcXYZ019-_."))
def test_no_character_of_a_link_can_be_changed(position: int, character: str) -> None:
    link = LINKS.make(LINKED, now=NOW)
    position %= len(link)
    changed = link[:position] + character + link[position + 1 :]
    # The last character of base 64 has bits that stand for nothing.
    assert changed == link or position == len(link) - 1 or LINKS.read(changed, now=NOW) is None
