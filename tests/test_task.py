from random import Random
from uuid import UUID

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from milepost.task import RESERVED_TYPE_NAMES, TERMINAL, TYPE_NAME, State, parse_id

HEX = "0123456789abcdefABCDEF"
# As a UUID of any version and variant may come, RFC 9562's nil and max among them.
UUIDS = st.integers(0, 2**128 - 1).map(lambda number: UUID(int=number))


@given(UUIDS, st.booleans(), st.randoms())
@example(UUID(int=0), True, None)
@example(UUID(int=2**128 - 1), True, None)
def test_a_uuid_in_any_form_is_read_as_the_dashed_lower_case_one(
    uuid: UUID, dashed: bool, random: Random | None
) -> None:
    text = str(uuid) if dashed else uuid.hex
    if random is not None:
        text = "".join(random.choice((letter.lower(), letter.upper())) for letter in text)
    assert parse_id(text) == str(uuid)


@given(UUIDS)
def test_what_was_read_is_read_again_as_itself(uuid: UUID) -> None:
    inner = parse_id(uuid.hex)
    assert inner is not None
    assert parse_id(inner) == inner


@given(st.text(max_size=40) | st.text(HEX + "-", min_size=30, max_size=38) | st.text("0-", min_size=32, max_size=36))
@example("")
@example("-" * 36)
@example("0" * 31)
@example("0" * 33)
@example("0" * 36)
@example("g" * 32)
@example("0" * 31 + "\n")
@example(" " + "0" * 32)
@example("\u0660" * 32)  # digits to str.isdigit() and to int(), but not to RFC 9562
@example("0000-00000000-0000-0000-000000000000")
@example("----00000000000000000000000000000000")
@example("{00000000-0000-0000-0000-000000000000}")
@example("urn:uuid:00000000-0000-0000-0000-000000000000")
def test_whatever_is_no_uuid_in_a_published_form_is_refused(text: str) -> None:
    try:
        uuid = UUID(text)
    except ValueError:
        expected = None
    else:
        expected = str(uuid) if text.lower() in (str(uuid), uuid.hex) else None
    assert parse_id(text) == expected


@pytest.mark.parametrize("name", ["export", "a", "build-image", "build_image", "v2", "a" * 64])
def test_a_task_type_may_be_called(name: str) -> None:
    assert TYPE_NAME.fullmatch(name)


@pytest.mark.parametrize(
    "name", ["", "Export", "2fast", "-a", "_a", "a b", "a.b", "a/b", "é", "export\n", "a" * 65], ids=repr
)
def test_a_task_type_may_not_be_called(name: str) -> None:
    assert TYPE_NAME.fullmatch(name) is None


def test_every_reserved_word_would_otherwise_be_a_name() -> None:
    assert all(TYPE_NAME.fullmatch(name) for name in RESERVED_TYPE_NAMES)


def test_a_state_is_terminal_or_not() -> None:
    assert {state for state in State if state.terminal} == TERMINAL == {"succeeded", "failed", "cancelled"}
