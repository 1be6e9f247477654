import sys
import unicodedata
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from milepost.cli import terminal
from tests.cli.processes import Server, environment, spawn


@given(st.text())
def test_nothing_that_moves_the_cursor_is_printed(text: str) -> None:
    shown = terminal.printable(text)
    assert all(unicodedata.category(c) != "Cc" or c in "\t\n" for c in shown)
    assert not set(shown) & set("\u2028\u2029\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
    assert "\n" not in terminal.on_one_line(text)


def test_control_characters_can_be_seen() -> None:
    assert terminal.printable("a\x1b]0;title\x07b\rc\u202ed\ne") == r"a\x1b]0;title\x07b\rc\u202ed" + "\ne"


# Written with words (joiners, the soft hyphen, marks of Arabic, Syriac, Kaithi, Mongolian, hieroglyphs, shorthand and
# music); everything else of the category can't be seen.
WRITTEN = {0xAD, 0x200C, 0x200D, *range(0x600, 0x606), 0x6DD, 0x70F, 0x890, 0x891, 0x8E2, 0x110BD, 0x110CD, 0x180E}
WRITTEN |= {*range(0x13430, 0x13440), *range(0x1BCA0, 0x1BCA4), *range(0x1D173, 0x1D17B)}


def test_what_can_t_be_seen_can_be_seen() -> None:
    unseen = [chr(n) for n in range(sys.maxunicode + 1) if unicodedata.category(chr(n)) == "Cf" and n not in WRITTEN]
    assert len(unseen) > 100
    assert "".join(map(terminal.printable, unseen)).isascii()
    assert terminal.printable("a\u200eb\U000e0041") == r"a\u200eb\U000e0041"
    written = "".join(map(chr, sorted(WRITTEN)))
    assert terminal.printable(written) == terminal.visible(written) == written


@given(st.text(st.characters(categories=["Cf", "Cc", "L"], exclude_characters="\r")))
def test_json_that_can_be_seen_is_the_same(text: str) -> None:
    json = msgspec.json.encode(text).decode()
    assert msgspec.json.decode(terminal.visible(json)) == text


@pytest.mark.parametrize("command", ["--version", "types", "result"])
def test_an_output_that_can_not_be_written_is_told_in_one_line(server: Server, command: str) -> None:
    words = [command]
    if command == "result":
        words.append(server.start("echo"))
        server.wait(words[1])
    with Path("/dev/full").open("w") as full:
        process = spawn(*words, stdout=full, env=environment(MILEPOST_URL=server.url))
        _, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (1, "milepost: The output can't be written (No space left on device).\n")


def test_json_is_on_one_line_for_programs(capsys: pytest.CaptureFixture[str]) -> None:
    terminal.say_json({"a": [1, msgspec.Raw(b'{"b":  2}')]})
    assert capsys.readouterr().out == '{"a":[1,{"b":2}]}\n'
