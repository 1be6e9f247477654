"""What of the text that a function gives can be kept? All, once it is in a form that every store and client takes."""

from typing import Final

from milepost.disguise import beginning
from milepost.engine.veil import kept

LONGEST: Final = 64 * 1024
"""Characters of a message that are kept; the rest is cut off."""


def keepable(text: object, *, longest: int = LONGEST) -> str:
    """The text of anything, of at most `longest` characters.

    What UTF-8 has no bytes for (half of a surrogate pair, as Python reads file names that are not UTF-8), and NUL,
    which not every store takes, become escapes: they would else be refused by whoever gets them later, again and again.
    Raises nothing: it is asked for the text of what went wrong.
    """
    try:
        whole = str(text)
    except BaseException:  # a `__str__` of its own that fails, with whatever: it must not end the worker
        whole = f"<{type(text).__name__} without a text>"
    # A secret that is cut in two would not be recognised any more.
    cut = whole if len(whole) <= longest else beginning(whole, longest, kept()) + " …"
    return cut.encode("utf-8", "backslashreplace").decode().replace("\x00", "\\x00")
