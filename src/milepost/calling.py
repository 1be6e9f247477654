"""How does an application call those who want to hear of its tasks' ends: where it may, and in which words?"""

import os
import re
from collections.abc import Iterable, Sequence

from milepost.engine.outbound import Outbound
from milepost.engine.reach import Reach, networks
from milepost.http.forwarded import parse_public_url
from milepost.network import Network
from milepost.task import Task


def said(callback_allow: str | Iterable[str] | None) -> tuple[str, ...]:
    """These networks, as an operator names them; where nothing is said, those that `$MILEPOST_CALLBACK_ALLOW` names."""
    if callback_allow is None:
        callback_allow = os.environ.get("MILEPOST_CALLBACK_ALLOW", "")
    return (callback_allow,) if isinstance(callback_allow, str) else tuple(callback_allow)


def allowed(texts: Sequence[str]) -> tuple[Network, ...]:
    """Networks as an operator names them, several of them parted by commas or spaces. Raises ValueError for others."""
    return networks(one for text in texts for one in re.split(r"[,\s]+", text) if one)


def outbound(callback_allow: Sequence[str]) -> Outbound:
    """What calls URLs: of the Internet, and of these networks. Raises ValueError for what is no network."""
    try:
        return Outbound(Reach(allowed(callback_allow)))
    except ValueError as error:
        raise ValueError(f"callback_allow: {error}.") from None


def public_url(url: str | None) -> str | None:
    """Where clients find the server, without a slash at its end; where nothing is said by `$MILEPOST_PUBLIC_URL`.

    None where nobody has said it. Raises ValueError for what is no such URL.
    """
    name = "public_url"
    if url is None:
        name, url = "MILEPOST_PUBLIC_URL", os.environ.get("MILEPOST_PUBLIC_URL") or None
    try:
        return None if url is None else "".join(parse_public_url(url))
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from None


def callback_body(task: Task, public_url: str | None = None) -> bytes:
    """What is told of a record at an end: in the words of the native API, as it is found at `public_url`."""
    from milepost.http.dialects.native_callbacks import told  # a worker needs no HTTP until it tells of something

    return told(task, public_url or "")
