import unicodedata
from typing import Any

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from milepost.file_name import LONGEST, UNKNOWN, cleaned, media_type
from milepost.task import DeliveredFile, FileResult

DEVICES = ["con", "PRN", "aux.txt", "nul .tar.gz", "COM1", "lpt9.csv", "com²", "CONIN$"]

pieces = st.sampled_from(
    ["/", "\\", "..", ".", " ", "\0", "\r\n", "\u202e", "\u2066", "\ud800", "\u3000", "\xa0", "\u200d", ":", '"', "%"]
)
names = st.lists(pieces | st.sampled_from(DEVICES) | st.text(max_size=8), max_size=12).map("".join)
long_names = st.builds(lambda name, times, end: name * times + end, names, st.integers(1, 100), names)


@pytest.mark.parametrize(
    ("said", "name"),
    [
        ("a.txt", "a.txt"),
        ("Wallet Export-1 (final).csv", "Wallet Export-1 (final).csv"),
        (" über uns.txt ", "über uns.txt"),
        ("../../etc/passwd", "passwd"),
        ("C:\\fakepath\\a.txt", "a.txt"),
        ("\\\\host\\share\\a.txt", "a.txt"),
        (".env", "env"),
        ("...hidden. .", "hidden"),
        ("a\0b\n\u202ec\ud800.txt", "a_b__c_.txt"),
        ("a\r\nSet-Cookie: x", "a__Set-Cookie: x"),
        ("a\u2028b\x85c\x7f", "a_b_c_"),
        ("10\xa0000\u3000€.csv", "10 000 €.csv"),
        ('a"b%.csv', 'a"b%.csv'),
        ("ü" * 200, "ü" * 127),
        ("ü" * 200 + ".tar.gz", "ü" * 126 + ".gz"),
        ("a" * 300 + "." + "b" * 40, "a" * 255),
        ("aux" + " " * 300 + "b.txt", "_aux.txt"),
        ("aux." + "é" * 200, "_aux." + "é" * 125),
        ("nul", "_nul"),
        ("Com1 .txt", "_Com1 .txt"),
        ("console.log", "console.log"),
        *((nothing, "result") for nothing in ("", " ", ".", "..", "...", "a/", "a/..", "\\", "/ . ")),
    ],
)
def test_a_name_is_one_in_any_folder(said: str, name: str) -> None:
    assert cleaned(said, "result") == name


@given(names | long_names | st.text())
@example("com1" + "." * 300 + "x")
@example("." * 300 + "x." + "\U0001f600" * 32)
def test_whatever_is_said_is_clean_and_stays_so(said: str) -> None:
    name = cleaned(said, "file")
    assert cleaned(name, "result") == name
    assert 0 < len(name.encode()) <= LONGEST
    assert not set(name) & set("/\\")
    assert name[0] not in ". "
    assert name[-1] not in ". "
    assert {unicodedata.category(character) for character in name}.isdisjoint({"Cc", "Cf", "Cs", "Zl", "Zp"})


@pytest.mark.parametrize("device", DEVICES)
def test_no_name_is_a_device(device: str) -> None:
    assert cleaned(device, "file") == f"_{device}"


@pytest.mark.parametrize(
    "said", ["text/csv", "text/csv; charset=latin-1", 'application/vnd.x+json;a=b; c="d e"', "image/svg+xml"]
)
def test_a_media_type_stays(said: str) -> None:
    assert media_type(said) == said


@pytest.mark.parametrize(
    "said",
    [
        "",
        "nonsense",
        "text/html\r\nx-evil: 1",
        "text/html;\nx=1",
        "text/html;\r x=1",
        "text/html\n",
        "text/plain; charset=ü",
        'text/plain; a="',
        "a/" + "b" * 300,
    ],
)
def test_what_is_no_media_type_says_nothing(said: str) -> None:
    assert media_type(said) == UNKNOWN


@pytest.mark.parametrize(("kind", "otherwise"), [(FileResult, "result"), (DeliveredFile, "file")])
def test_no_record_of_a_file_has_another_name_or_media_type(kind: Any, otherwise: str) -> None:
    """Not even one that was kept before names were cleaned."""
    sound = kind("k", "a.txt", "text/plain", 1, "00")
    old = msgspec.json.encode(sound).replace(b"a.txt", rb"..\/x\r\n.txt").replace(b"text/plain", rb"text/plain\r\nx: 1")
    for file in (msgspec.json.decode(old, type=kind), kind("k", "../x\r\n.txt", "text/plain\r\nx: 1", 1, "00")):
        assert (file.key, file.name, file.media_type, file.size, file.sha256) == ("k", "x__.txt", UNKNOWN, 1, "00")
    assert kind("k", "..", "text/plain", 1, "00").name == otherwise
