"""How secrets are recognised in a text."""

import json
import re
import traceback
from collections.abc import Callable
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from milepost.disguise import DEEPEST, MOST, MOST_CLOSELY, PIECE, SHORTEST, Disguise, beginning
from milepost.engine.text import keepable

ODD = "p\"w'd \\ ä\n&/€"
AWS = "wJalrXUtnFEMI/K7MDENG+bPxRfiCY="
PEM = """-----BEGIN PRIVATE KEY-----
MC4CAQAwBQYDK2VwBCIEIJcH5qZ0T1wYVZt2Yw0Zp7sJ8aXk0cU9b6mQ3nq2fLkd
aGVs/bG8+
b2s=
-----END PRIVATE KEY-----
"""


@given(secret=st.text(min_size=SHORTEST), before=st.text(), after=st.text())
def test_no_text_has_a_secret_in_it_any_more(secret: str, before: str, after: str) -> None:
    assume("***" not in secret and not set(secret) <= {"*"})
    assert secret not in Disguise([secret]).text(before + secret + after)


@given(
    secrets=st.lists(st.text(alphabet="abc/é\n", min_size=SHORTEST, max_size=3 * PIECE), min_size=1, max_size=20),
    before=st.text(alphabet="abc "),
    after=st.text(alphabet="abc "),
    longest=st.integers(0, 4 * PIECE),
)
def test_what_a_cut_leaves_begins_what_a_whole_text_becomes(
    secrets: list[str], before: str, after: str, longest: int
) -> None:
    disguise = Disguise(secrets)
    text = before + secrets[0] + after
    left = beginning(text, longest, [disguise])
    assert disguise.text(text).startswith(left)
    assert left == beginning(text, longest, [disguise, Disguise([]), disguise])


FORMS: dict[str, Callable[[str], str]] = {
    "as it is": str,
    "to programmers": repr,
    "in ASCII": ascii,
    "as bytes": lambda text: repr(text.encode())[1:],
    "as JSON": json.dumps,
    "as JSON in UTF-8": lambda text: json.dumps(text, ensure_ascii=False),
    "as JSON in JSON": lambda text: json.dumps(json.dumps(text))[2:-2],
    "as JSON in UTF-8 in JSON": lambda text: json.dumps(json.dumps(text, ensure_ascii=False), ensure_ascii=False)[2:-2],
    "as JSON to programmers": lambda text: repr(json.dumps(text))[1:-1],
    "as JSON in bytes": lambda text: repr(json.dumps(text, ensure_ascii=False).encode())[2:-1],
    "to programmers in JSON": lambda text: json.dumps(repr(text))[1:-1],
    "in a query": quote_plus,
    "in a path": quote,
    "in a part of a path": lambda text: quote(text, safe=""),
    "in a part of a path in small letters": lambda text: in_small(quote(text, safe="")),
    "in a query in small letters": lambda text: in_small(quote_plus(text)),
    "as encodeURIComponent has it": lambda text: quote(text, safe="!'()*"),
    "as encodeURI has it": lambda text: quote(text, safe=";,/?:@&=+$!'()*#"),
}


def in_small(url: str) -> str:
    return re.sub("%[0-9A-F]{2}", lambda found: found[0].lower(), url)


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
@pytest.mark.parametrize("secret", [ODD, AWS, PEM, "it's", 'say "x"', "\0\t é"])
def test_nor_has_it_the_forms_that_it_takes_elsewhere(form: Callable[[str], str], secret: str) -> None:
    assert Disguise([secret]).text(f"<{form(secret)}>").strip("<>\"'\\") == "***"


def test_half_of_a_surrogate_pair_is_found_as_a_record_keeps_it() -> None:
    secret = "\0 \ud83d é"
    assert Disguise([secret]).text(f"{secret} {keepable(secret)} {json.dumps(secret)}") == '*** *** "***"'


@pytest.mark.parametrize("secret", [ODD, AWS, PEM, "it's", "pa'ss"])
def test_a_longer_text_may_have_both_quotes(secret: str) -> None:
    longer = f"a \" and ' {secret}"
    disguise = Disguise([secret])
    assert disguise.text(repr(longer)) == "'a \" and \\' ***'"
    assert disguise.text(repr([longer])) == "['a \" and \\' ***']"
    assert disguise.text(repr(longer.encode())) == "b'a \" and \\' ***'"


@pytest.mark.parametrize("depth", range(DEEPEST))
def test_groups_of_exceptions_indent_each_line(depth: int) -> None:
    error: Exception = ValueError(f"could not load {PEM}")
    for _ in range(depth):
        error = ExceptionGroup("several", [error])
    told = Disguise([PEM]).text("".join(traceback.format_exception(error)))
    assert "could not load ***" in told
    assert not [line for line in PEM.splitlines() if line in told]


def test_lines_of_a_secret_are_found_by_themselves_where_they_are_long() -> None:
    config = "user: ada\n  password: sesame\n}\n"
    told = "with user: ada, { a: 1 } and password: sesame"
    assert Disguise([config]).text(told) == "with ***, { a: 1 } and ***"


def test_white_space_around_it_may_have_been_taken_off() -> None:
    assert Disguise(["hunter2\n"]).text("is hunter2.") == "is ***."


def test_a_secret_may_consist_of_others_and_have_one_another_within() -> None:
    disguise = Disguise([{"user": "root", "keys": ["hunter2", "hunter22"], "pin": 12345, "on": True}, None])
    assert disguise.text("hunter22 hunter2 root 12345 True user") == "*** *** *** *** True user"


def test_of_a_dictionary_the_keys_are_secret_where_they_are_no_names() -> None:
    disguise = Disguise([{"Zq901-key": 1, "user_name": "x", "Content-Type": "y", "open sesame": {"sk_12345": 2}}])
    told = "Zq901-key user_name Content-Type open sesame sk_12345"
    assert disguise.text(told) == "*** user_name Content-Type *** ***"


def test_what_overlaps_is_hidden_once() -> None:
    disguises = [Disguise(["abcdef"]), Disguise(["defghi", "efgh"])]
    assert beginning("<abcdefghi>", 11, disguises) == "<***>"


def test_what_is_too_short_to_be_told_from_words_is_left() -> None:
    disguise = Disguise(["abc", 123, "ab\n"])
    assert not disguise
    assert disguise.text("abc 123") == "abc 123"


def test_values_are_looked_through() -> None:
    disguise = Disguise(["hunter2", 12345, 1.25])
    value = {"a": ["x hunter2", 12345, 1.25, 1, None, True, {"hunter2": True}]}
    assert disguise.value(value) == {"a": ["x ***", "***", "***", 1, None, True, {"***": True}]}


def test_what_begins_as_a_long_secret_does_is_hidden_so_far() -> None:
    long = "".join(f"{n:04}" for n in range(100))
    disguise = Disguise([long, long + "!"])
    assert disguise.text(f"<{long}>") == "<***>"
    assert disguise.text(f"<{long}!>") == "<***>"
    assert disguise.text(f"<{long[:200]}>") == f"<***{long[PIECE:200]}>"


def test_a_secret_that_a_cut_goes_through_does_not_keep_its_beginning() -> None:
    for cut in range(4, 12):
        assert beginning("0123hunter2!", cut, [Disguise(["hunter2"])]) == ("0123***" if cut > 4 else "0123")


def test_without_secrets_a_text_is_itself() -> None:
    text = "x" * 10
    assert Disguise([]).text(text) is text
    assert beginning(text, 4, [Disguise([])]) == "xxxx"


@pytest.mark.timeout(20)  # one by one, they would take minutes
def test_many_secrets_are_looked_for_at_once() -> None:
    secrets = [f"s{number:06}/" for number in range(MOST)]
    disguise = Disguise(secrets)
    line = " ".join(f"s{number:06}" for number in range(8_000))
    for _ in range(20):
        assert disguise.text(line) == line
    assert disguise.text(f"{line} {secrets[17]}") == f"{line} ***"
    assert disguise.text(quote(secrets[-1], safe="")) == "***"


@pytest.mark.parametrize("number", [MOST_CLOSELY, MOST_CLOSELY + 1])
def test_few_are_looked_for_in_forms_within_forms(number: int) -> None:
    disguise = Disguise([f'"{each:06}"' for each in range(number)])
    assert disguise.text(json.dumps('"000017"')) == '"***"'
    assert ("000017" in disguise.text(json.dumps(json.dumps('"000017"')))) is (number > MOST_CLOSELY)


def test_with_too_many_nothing_is_told() -> None:
    disguise = Disguise([[f"s{number:06}" for number in range(MOST + 1)]])
    assert disguise
    assert disguise.text("anything") == "***"
    assert disguise.value({"a": [1, "x", None]}) == {"***": ["***", "***", None]}
    assert beginning("anything", 3, [disguise]) == "***"
