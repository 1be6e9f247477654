"""How do `key=value` words and `--input` become a task's input?"""

import sys
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO

import msgspec

from milepost.cli import secrets
from milepost.cli.exits import CommandError, Exit
from milepost.cli.terminal import note, on_one_line
from milepost.disguise import HIDDEN
from milepost.sealing import secret_names

Schema = Mapping[str, Any]


def read_input(words: Sequence[str], given: str | None, schema: Schema) -> dict[str, Any]:
    """The input that a person means: what `--input` gives, with the words laid over it. Raises CommandError.

    `key:=JSON` is JSON. The value of `key=value` is too where the type's `schema` wants anything but text there and
    JSON it is; else it is text. What is secret is read from a file (`key=@FILE`) or a line of stdin (`key=-`).
    """
    hidden = secret_names(schema)
    values = {} if given is None else _read_object(given)
    named = set()
    for word in words:
        name, equals, value = word.partition("=")
        if not equals or name in ("", ":"):
            raise _wrong(f"{word}: not in the form key=value.")
        key = name.removesuffix(":")
        if key in named:
            raise _wrong(f"{key}: given twice.")
        named.add(key)
        is_forced = name.endswith(":")
        if key in hidden:
            value = _secret(key, value, is_forced=is_forced)
        shown = HIDDEN if key in hidden else value
        values[key] = _forced(key, value, shown) if is_forced else _value(value, _property(schema, key), schema)
    return values


def _secret(key: str, value: str, *, is_forced: bool) -> str:
    if secrets.named(value) and not is_forced:
        return secrets.read(key, value)
    note(f"milepost: {key}: a secret {secrets.SEEN}; write {key}=@FILE, or {key}=- for stdin.")
    return value


def _read_object(given: str) -> dict[str, Any]:
    """What `--input` names: `@FILE`, `-` for stdin, or JSON itself."""
    try:
        if given == "-":
            body = stdin().read()
        elif given.startswith("@"):
            body = named_file("--input", given[1:]).read_bytes()
        else:
            body = given.encode()
    except OSError as error:
        raise _wrong(f"--input: {given[1:]} can't be read ({error.strerror}).") from error
    try:
        return msgspec.json.decode(body, type=dict[str, Any])
    except msgspec.ValidationError as error:
        raise _wrong("--input: not a JSON object.") from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        hint = f" For a file write @{given}." if _is_file(given) else ""
        raise _wrong(f"--input: not JSON ({on_one_line(str(error))}).{hint}") from error


def start_key(given: str | None) -> str:
    """The Idempotency-Key of a start: what was given, or a fresh one. Raises CommandError."""
    if given is None:
        return str(uuid.uuid4())
    if not (given and given.isascii() and given.isprintable()):
        raise _wrong("--idempotency-key: from 1 to 255 printable ASCII characters.")
    return given


def _is_file(name: str) -> bool:
    try:
        return Path(name).is_file()
    except OSError:  # no file can have such a name
        return False


def named_file(option: str, name: str) -> Path:
    """The file that an option names after its @. Raises CommandError where there is nothing after it."""
    if not name:
        raise _wrong(f"{option}: the name of a file is missing; - reads stdin.")
    return Path(name)


def stdin() -> BinaryIO:
    """What comes in; a person is told that it is waited for."""
    if sys.stdin.isatty():
        note("Reading from the terminal; Ctrl-D on a line of its own ends it.")
    return sys.stdin.buffer


def _forced(key: str, value: str, shown: str) -> Any:
    try:
        return msgspec.json.decode(value.encode())
    except (msgspec.DecodeError, RecursionError) as error:
        raise _wrong(f"{key}: not JSON ({error}); for text write {key}={shown}") from error


def _value(value: str, schema: Schema, root: Schema) -> Any:
    if _takes_text(schema, root):
        return value
    try:
        return msgspec.json.decode(value.encode())
    except (msgspec.DecodeError, RecursionError):
        return value  # the server says best what it wants instead


def _property(schema: Schema, key: str) -> Schema:
    found = schema.get("properties", {}).get(key, {})
    return found if isinstance(found, Mapping) else {}


def _takes_text(schema: Schema, root: Schema) -> bool:
    """Whether a JSON Schema allows strings; one that says nothing does."""
    if "$ref" in schema:
        return _takes_text(root.get("$defs", {}).get(schema["$ref"].rpartition("/")[2], {}), root)
    if "enum" in schema:
        return any(isinstance(value, str) for value in schema["enum"])
    if "const" in schema:
        return isinstance(schema["const"], str)
    for choice in ("anyOf", "oneOf"):
        if choice in schema:
            return any(_takes_text(one, root) for one in schema[choice])
    wanted = schema.get("type", "string")
    return "string" in ([wanted] if isinstance(wanted, str) else wanted)


def _wrong(message: str) -> CommandError:
    return CommandError(message, Exit.USAGE)
