"""What of a command's output goes where, and how does it look there?

What was asked for goes to stdout, whatever else helps a person to stderr. What comes from a server is shown with its
control characters made visible, so that no task can move the cursor or rename the window of whoever looks at it.
"""

import contextlib
import os
import re
import sys
from collections.abc import Iterator
from typing import Any, Final

import msgspec
import typer
from rich.console import Console

from milepost.cli.exits import CommandError, Exit

_CONTROL: Final = re.compile(
    "["
    r"\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029"  # what moves the cursor
    r"\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069"  # what changes the direction of writing (UAX #9)
    # What has no look and no use, but makes two texts look alike or hides one: not the joiners (U+200C, U+200D), the
    # soft hyphen, and the marks of scripts that have such, which words are written with.
    r"\u200b\u2060-\u2064\u206a-\u206f\ufeff\ufff9-\ufffb\U000e0000-\U000e007f"
    "]"
)

BENEATH: Final = "    "
"""Before what is a further line of something, so that it is not taken for something of its own."""


def is_terminal() -> bool:
    """Whether stdout leads to a person."""
    return sys.stdout.isatty()


def console() -> Console:
    """Where tables and progress bars are drawn. Markup and highlighting are off: tasks' texts are shown as they are."""
    return Console(markup=False, highlight=False, emoji=False, soft_wrap=True)


@contextlib.contextmanager
def writing() -> Iterator[None]:
    """Around what is written to stdout. Raises CommandError where that does not work: its disk is full, say."""
    try:
        yield
    except BrokenPipeError:
        raise  # nobody wants to read any more, which is no error
    except OSError as error:
        # What is left in the buffer would fail once more at the end, without words.
        with contextlib.suppress(OSError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise CommandError(f"The output can't be written ({error.strerror}).", Exit.FAILED) from error


def say(text: str) -> None:
    """Print a line that was asked for, at once; for a person as `printable`."""
    with writing():
        typer.echo(printable(text) if is_terminal() else text)


def note(text: str) -> None:
    """Print a line that helps a person, but is not what was asked for."""
    typer.echo(printable(text), err=True)


def say_broken() -> None:
    """Say what a command that follows something waits for."""
    note("The connection broke; trying again.")


def printable(text: str) -> str:
    """The text with control characters, changes of writing direction and what can't be seen as escapes.

    Line breaks and tabs stay, and what words are written with.
    """
    return _CONTROL.sub(lambda match: match[0].encode("unicode_escape").decode(), text)


def on_one_line(text: str) -> str:
    """The text as `printable`, in one line."""
    return " ".join(printable(text).split())


def say_json(value: Any) -> None:
    """Print a JSON value (or `msgspec.Raw`) as one line, or indented for a person."""
    body = msgspec.json.encode(value)
    if is_terminal():
        say_line(msgspec.json.format(body, indent=2).decode())
    else:
        say(msgspec.json.format(body, indent=-1).decode())


def say_line(json: str) -> None:
    """Print JSON as it came; on a terminal what `visible` makes of it."""
    say(visible(json) if is_terminal() else json)


def visible(json: str) -> str:
    """The same JSON with what `printable` does not let through as its own escapes.

    JSON may have those of them as they are that are no C0 controls, which outside its texts are white space alone.
    """
    return _CONTROL.sub(lambda match: " " if match[0] == "\r" else _escaped(match[0]), json)


def _escaped(character: str) -> str:
    """As JSON has it: in UTF-16, of which the rarest take two."""
    units = character.encode("utf-16-be").hex()
    return "".join(f"\\u{units[at : at + 4]}" for at in range(0, len(units), 4))
