"""What of an input is secret, and how is that kept so that who reads the store's file can't read it?

A parameter that is `Secret` is `writeOnly` in its type's JSON Schema, or has something in it that is. Of such an input
what is stored is `***`, and apart from that, sealed with AES-256-GCM under a key that is not in the store, the value.
The task's id is sealed along: what is moved to another task can't be opened there.
"""

import base64
import hmac
import os
import secrets
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

import msgspec

from milepost.disguise import HIDDEN, Disguise, is_name

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

KEY_BYTES: Final = 32
NONCE_BYTES: Final = 12
VERSION: Final = b"\x01"
"""Begins what is sealed, so that it can be done otherwise one day."""

_NULL: Final = {"type": "null"}

NO_KEYS: Final = "It is secret, and this server has no key to keep it with: its operator sets MILEPOST_SECRET_KEY."


class Unsealable(Exception):
    """What is sealed can't be opened: there is no key, another one, or somebody has changed it."""


def secret_names(schema: Mapping[str, Any]) -> frozenset[str]:
    """The parameters that a type's JSON Schema calls secret, as a whole if anything in them is."""
    properties, shared = schema.get("properties", {}), schema.get("$defs", {})
    return frozenset(name for name, each in properties.items() if _is_secret(each, shared, frozenset()))


def _is_secret(part: Any, shared: Mapping[str, Any], seen: frozenset[str]) -> bool:
    if isinstance(part, list):
        return any(_is_secret(each, shared, seen) for each in part)
    if not isinstance(part, dict):
        return False
    if part.get("writeOnly") is True:
        return True
    name = str(part.get("$ref", "")).removeprefix("#/$defs/")
    if name in shared and name not in seen and _is_secret(shared[name], shared, seen | {name}):
        return True
    return any(_is_secret(each, shared, seen) for each in part.values())


def needs_key(schema: Mapping[str, Any]) -> bool:
    """Whether none of a type's tasks can be without a secret, by its JSON Schema."""
    properties, needed = schema.get("properties", {}), schema.get("required", ())
    return any(name in needed and _NULL not in properties[name].get("anyOf", ()) for name in secret_names(schema))


def said(input: Mapping[str, Any], names: Collection[str]) -> dict[str, Any]:
    """The secrets that an input has; null is none."""
    return {name: input[name] for name in names if input.get(name) is not None}


class Sealing:
    """Seals with the first of its keys, and opens with any: so that a key can be exchanged for another.

    `keys` are each 32 random bytes in Base64, parted by commas or spaces; None for none. Raises ValueError for what is
    no key, and RuntimeError where the library for it is not installed.
    """

    def __init__(self, keys: str | None = None) -> None:
        raw = [_key(text) for text in (keys or "").replace(",", " ").split()]
        self._ciphers = [_cipher(key) for key in raw]
        self._marks = [hmac.digest(key, b"milepost fingerprint", "sha256") for key in raw]

    def __bool__(self) -> bool:
        return bool(self._ciphers)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sealing) and self._marks == other._marks

    __hash__ = None  # type: ignore[assignment]  # there are never many

    def __repr__(self) -> str:
        return f"Sealing({len(self._ciphers)} keys)"

    def seal(self, values: Mapping[str, Any], about: str) -> bytes:
        """Seal secrets, by their names, for a task (its id), or what else they are of. There has to be a key."""
        nonce = secrets.token_bytes(NONCE_BYTES)
        return VERSION + nonce + self._ciphers[0].encrypt(nonce, msgspec.json.encode(values), about.encode())

    def open(self, sealed: bytes, about: str) -> dict[str, Any]:
        """The secrets that were sealed for this. Raises Unsealable."""
        for plain in self._opened(self._ciphers, sealed, about):
            return msgspec.json.decode(plain, type=dict[str, Any])
        raise Unsealable("no key" if not self._ciphers else "another key")

    def opens(self, sealed: bytes, about: str) -> bool:
        """Whether one of the keys opens this."""
        return any(True for _ in self._opened(self._ciphers, sealed, about))

    def is_current(self, sealed: bytes, about: str) -> bool:
        """Whether this was sealed with the key that seals now."""
        return any(True for _ in self._opened(self._ciphers[:1], sealed, about))

    @staticmethod
    def _opened(ciphers: "Sequence[AESGCM]", sealed: bytes, about: str) -> Iterator[bytes]:
        if not ciphers or sealed[:1] != VERSION:
            return
        from cryptography.exceptions import InvalidTag

        nonce, body = sealed[1 : 1 + NONCE_BYTES], sealed[1 + NONCE_BYTES :]
        for cipher in ciphers:
            try:
                yield cipher.decrypt(nonce, body, about.encode())
            except (InvalidTag, ValueError):  # too short to be anything
                continue

    def disguised(self, input: Mapping[str, Any], hidden: Mapping[str, Any]) -> dict[str, Any]:
        """An input with marks in place of its secrets, equal for equal ones. There has to be a key.

        Who has not got it can't try out secrets until the marks are the same.
        """
        return {**input, **{name: self._marked(value) for name, value in hidden.items()}}

    def _marked(self, value: Any) -> str:
        # The last key is the oldest: marks stay the same while a newer one takes its place.
        return hmac.digest(self._marks[-1], msgspec.json.encode(value, order="deterministic"), "sha256").hex()


def configured(keys: str | None) -> Sealing:
    """What seals with these keys, where nothing is said with those of `$MILEPOST_SECRET_KEY`.

    Raises ValueError and RuntimeError as Sealing does.
    """
    name = "secret_key"
    if keys is None:
        name, keys = "MILEPOST_SECRET_KEY", os.environ.get("MILEPOST_SECRET_KEY")
    try:
        return Sealing(keys)
    except ValueError as error:
        raise ValueError(f"{name}: {error}.") from None


def masked(input: Mapping[str, Any], names: Collection[str]) -> dict[str, Any]:
    """An input as it may be shown."""
    return {name: HIDDEN if name in names and value is not None else value for name, value in input.items()}


def covered(value: Any, hidden: Collection[Any]) -> Any:
    """A JSON value as it may be shown, where some of what is in it is a copy of a secret, or of a text within one.

    Texts that have one within are shown without it.
    """
    return _Cover(hidden).shown(value)


class _Cover:
    """Knows secrets again, as a whole and in texts; each part of a value is looked at once."""

    def __init__(self, hidden: Collection[Any]) -> None:
        self._disguise = Disguise(hidden)
        self._numbers: dict[Any, int] = {}
        """Of all that differs, so that what is nested is compared by the numbers of its parts."""
        self._secret = {self._number(each) for each in hidden}
        self._secret |= {self._number(text) for each in hidden if not isinstance(each, str) for text in _texts(each)}

    def _number(self, value: Any) -> int:
        if isinstance(value, dict):
            return self._of_parts(frozenset((name, self._number(each)) for name, each in value.items()))
        return self._of_parts(tuple(map(self._number, value)) if isinstance(value, list) else value)

    def _of_parts(self, parts: Any) -> int:
        return self._numbers.setdefault(parts, len(self._numbers))

    def shown(self, value: Any) -> Any:
        return self._shown(value)[0]

    def _shown(self, value: Any) -> tuple[Any, int]:
        """A value as it may be shown, and its number."""
        parts, shown = value, value
        if isinstance(value, dict):
            each = {name: self._shown(inner) for name, inner in value.items()}
            parts = frozenset((name, number) for name, (_, number) in each.items())
            shown = {name if is_name(name) else self._disguise.text(name): inner for name, (inner, _) in each.items()}
        elif isinstance(value, list):
            inner = [self._shown(each) for each in value]
            parts, shown = tuple(number for _, number in inner), [each for each, _ in inner]
        number = self._of_parts(parts)
        if number in self._secret:
            return HIDDEN, number
        return (shown if isinstance(value, dict | list) else self._disguise.value(value)), number


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list):
        for each in value.values() if isinstance(value, dict) else value:
            yield from _texts(each)


def whole(input: bytes, sealed: bytes | None, sealing: Sealing, task_id: str) -> tuple[bytes, Sequence[str]]:
    """An input (JSON) as it was given, of what is stored of it; and the names of what is secret in it.

    Raises Unsealable.
    """
    if sealed is None:
        return input, ()
    values = sealing.open(sealed, task_id)
    return msgspec.json.encode(msgspec.json.decode(input, type=dict[str, msgspec.Raw]) | values), tuple(values)


def _key(text: str) -> bytes:
    try:
        key = base64.b64decode(text.replace("-", "+").replace("_", "/"), validate=True)
    except ValueError:  # as what is no Base64 raises, and what is no ASCII
        key = b""
    if len(key) != KEY_BYTES:  # without a word of what it is instead: it may be a key with a typing error
        raise ValueError(f"a key is {KEY_BYTES} random bytes in Base64, as `openssl rand -base64 {KEY_BYTES}` gives")
    return key


def _cipher(key: bytes) -> "AESGCM":
    try:
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM
    except ImportError as error:
        raise RuntimeError("Secrets need a library that is not installed: pip install 'milepost[secrets]'.") from error
    return AESGCM(key)
