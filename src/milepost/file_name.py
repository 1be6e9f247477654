"""What may a file be called that somebody else names: in any folder, in any header, on any screen?"""

import re
import unicodedata
from functools import lru_cache
from typing import Final

LONGEST: Final = 255
"""Bytes of a name in UTF-8: what folders take."""
LONGEST_SUFFIX: Final = 32
"""Characters of an ending that outlives the cutting of a name that is too long."""
_PART: Final = r"([^./\u0000][^/\u0000]*|\.([^./\u0000][^/\u0000]*)?|\.\.[^/\u0000]+)"
PATH_PATTERN: Final = rf"^/?({_PART}(/{_PART})*/?)?$"
"""A path that does not lead upward, and has neither an empty part nor a NUL. JSON Schema's and Python's."""
UNKNOWN: Final = "application/octet-stream"
"""The media type of which nothing is known."""
LONGEST_MEDIA_TYPE: Final = 255
"""Characters of a media type."""

_SEPARATOR: Final = re.compile(r"[/\\]")
_EDGES: Final = ". "
"""What no name begins with, so that none is hidden or leads up, nor ends with, as Windows leaves it out."""
_DEVICE: Final = re.compile(r"(con|prn|aux|nul|conin\$|conout\$|(com|lpt)[0-9¹²³])\s*(\.|$)", re.IGNORECASE).match
"""What Windows takes for a device, whatever ending it has."""
_PLAIN: Final = re.compile(r"[\w-](?:[\w .-]{0,126}[\w-])?", re.ASCII).fullmatch
"""What most names are, and is clean unless it is a device's."""
_WORD: Final = r"[\w!#$&^.+-]+"
_MEDIA_TYPE: Final = re.compile(rf'{_WORD}/{_WORD}(?:[ \t]*;[ \t]*{_WORD}=(?:{_WORD}|"[ -!#-\[\]-~]*"))*', re.ASCII)


@lru_cache(1024)
def cleaned(said: str, otherwise: str) -> str:
    """The name that is left of what was said; `otherwise`, which has to be clean, where nothing is.

    Of a path its last part. What can't be printed becomes `_`: NUL, line breaks and other control characters, what
    turns the direction of text so that `exe.txt` reads `txt.exe`, halves of surrogate pairs. Every blank is a space. No
    name is hidden, leads up, or is a device on Windows, and none is longer than `LONGEST`; what is too long keeps its
    ending. What is clean stays as it is.
    """
    if _PLAIN(said) and not _DEVICE(said):
        return said
    last = _SEPARATOR.split(said)[-1]
    plain = "".join(map(_shown, last)).strip(_EDGES)
    cut = _cut(plain)
    return (_cut(f"_{cut}") if _DEVICE(cut) else cut) or otherwise


def _shown(character: str) -> str:
    if character.isprintable():
        return character
    return " " if unicodedata.category(character) == "Zs" else "_"


def _cut(name: str) -> str:
    size = len(name.encode())
    if size <= LONGEST:
        return name
    stem, dot, ending = name.rpartition(".")
    if not stem or len(ending) > LONGEST_SUFFIX:
        stem, dot, ending = name, "", ""
    end = f"{dot}{ending}"
    return stem.encode()[: LONGEST - len(end.encode())].decode(errors="ignore").rstrip(_EDGES) + end


@lru_cache(256)
def media_type(said: str) -> str:
    """The media type that was said, if it is one (RFC 9110, section 8.3.1): it becomes a header."""
    return said if len(said) <= LONGEST_MEDIA_TYPE and _MEDIA_TYPE.fullmatch(said) else UNKNOWN
