"""A token names one task, both ways, and gives nothing of its id away."""

from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from milepost.access.tokens import Tokens

IDS = st.uuids().map(str)
SECRETS = st.binary(min_size=32, max_size=32)
ID = "01995c1e-6a52-7e3f-9a44-3f0c8f1f2d10"


def bits(one: str, other: str) -> int:
    """In how many of 128 bits two of them differ."""
    return (UUID(one).int ^ UUID(other).int).bit_count()


@given(SECRETS, IDS)
def test_a_token_leads_back_to_its_id(secret: bytes, task_id: str) -> None:
    tokens = Tokens(secret)
    token = tokens.make(task_id)
    assert token == str(UUID(token)), "a dashed UUID in lower case"
    assert token != task_id
    assert tokens.read(token) == task_id
    assert tokens.read(token.replace("-", "").upper()) == task_id
    assert Tokens(secret).make(task_id) == token


@given(SECRETS, IDS)
def test_whatever_has_the_form_of_a_token_stands_for_one_id(secret: bytes, text: str) -> None:
    tokens = Tokens(secret)
    task_id = tokens.read(text)
    assert task_id is not None
    assert tokens.make(task_id) == text


@given(SECRETS, st.lists(IDS, min_size=2, max_size=20, unique=True))
def test_no_two_ids_have_one_token(secret: bytes, ids: list[str]) -> None:
    tokens = Tokens(secret)
    assert len({tokens.make(task_id) for task_id in ids}) == len(ids)


@given(SECRETS, SECRETS, IDS)
def test_another_store_has_other_tokens(secret: bytes, other: bytes, task_id: str) -> None:
    if secret != other:
        assert Tokens(other).read(Tokens(secret).make(task_id)) != task_id


def test_ids_that_are_neighbours_have_tokens_that_are_none() -> None:
    """About half of the bits differ, wherever the ids do."""
    tokens = Tokens(b"a secret of sixty-four hexadecimal digits")
    whole = UUID(ID).int
    differing = [bits(tokens.make(ID), tokens.make(str(UUID(int=whole ^ (1 << bit))))) for bit in range(128)]
    assert all(30 <= count <= 98 for count in differing)
    assert 60 < sum(differing) / 128 < 68


def test_it_is_the_same_one_for_ever() -> None:
    """Clients keep tokens: a release must not turn them into others."""
    assert Tokens(bytes(32)).make(ID) == "1e556554-d94d-06a1-de5b-8800d145d20b"


@pytest.mark.parametrize("text", ["", "nonsense", "task_" + "0" * 32, "0" * 31, "0" * 33, "{" + ID + "}", ID + "\n"])
def test_what_is_no_uuid_is_no_token(text: str) -> None:
    assert Tokens(b"secret").read(text) is None
