"""What is delivered, as a server takes it."""

import email.policy
import re
from collections.abc import Callable
from email.message import EmailMessage, Message
from email.parser import BytesParser
from pathlib import Path
from urllib.parse import unquote

import pytest

from milepost.client.aparavi import AparaviError
from milepost.client.body import PIECE
from tests.client.flavours import Client, Flavour
from tests.client.speaker import TOKEN, Asked, Speaker, Told


@pytest.fixture
def files(tmp_path: Path) -> Path:
    (tmp_path / "letter.txt").write_text("Dear harbour office")
    (tmp_path / "data.bin").write_bytes(bytes(range(256)) * 1024)
    (tmp_path / "empty").touch()
    (tmp_path / 'Grüße "an" Ada.csv').write_text("a,b\r\n1,2\r\n")
    return tmp_path


async def delivered(flavour: Flavour, speaker: Speaker, *files: object, **options: object) -> Asked:
    speaker.tokens.add(TOKEN)
    async with Client(flavour, speaker.url) as client:
        client.real.token, client.real.type = TOKEN, "cpu"
        answer = await client.call("send_to_webhook", *files, **options)
    assert answer["data"]["objectsCompleted"] == 1
    (asked,) = speaker.asked
    assert asked.headers["content-length"] == str(len(asked.body))
    assert "transfer-encoding" not in asked.headers
    return asked


def named(disposition: str) -> str | None:
    """The file name of a Content-Disposition, the exact one where there are two (RFC 6266, section 4.3)."""
    exact = re.search(r"; filename\*=UTF-8''(\S+)$", disposition)
    if exact:
        return unquote(exact[1])
    message = EmailMessage(policy=email.policy.HTTP)
    message["content-disposition"] = disposition
    return message.get_filename()


async def test_text(flavour: Flavour, speaker: Speaker) -> None:
    asked = await delivered(flavour, speaker, text="Grüße")
    assert asked.body == "Grüße".encode()
    assert asked.headers["content-type"] == "text/plain; charset=utf-8"
    assert "content-disposition" not in asked.headers


async def test_no_text_at_all_is_a_text(flavour: Flavour, speaker: Speaker) -> None:
    assert (await delivered(flavour, speaker, text="")).body == b""


@pytest.mark.parametrize(
    ("name", "media_type"),
    [("letter.txt", "text/plain"), ("data.bin", "application/octet-stream"), ("empty", "application/octet-stream")],
)
@pytest.mark.parametrize("kind", [str, Path])
async def test_one_file_goes_as_it_is(
    flavour: Flavour, speaker: Speaker, files: Path, name: str, media_type: str, kind: type[str] | type[Path]
) -> None:
    asked = await delivered(flavour, speaker, kind(files / name))
    assert asked.body == (files / name).read_bytes()
    assert asked.headers["content-type"] == media_type
    assert asked.headers["content-disposition"] == f'attachment; filename="{name}"'


async def test_bytes_with_a_name(flavour: Flavour, speaker: Speaker) -> None:
    asked = await delivered(flavour, speaker, ("scan.pdf", b"%PDF"))
    assert asked.body == b"%PDF"
    assert asked.headers["content-type"] == "application/pdf"
    assert asked.headers["content-disposition"] == 'attachment; filename="scan.pdf"'


@pytest.mark.parametrize(
    "name", ['say "hi"', "back\\slash", "Grüße.csv", "new\r\nline: x", "☃", "tab\t", "data:a\r\nb: c,d"]
)
async def test_a_name_arrives_whatever_it_is(flavour: Flavour, speaker: Speaker, name: str) -> None:
    asked = await delivered(flavour, speaker, (name, b"x"))
    said = asked.headers["content-disposition"]
    assert named(said) == name
    assert said.isascii()
    assert said.isprintable()


async def test_several_files_are_a_form(flavour: Flavour, speaker: Speaker, files: Path) -> None:
    umlaut = 'Grüße "an" Ada.csv'
    asked = await delivered(
        flavour, speaker, files / "data.bin", files / umlaut, files / "empty", ("a\r\nb.txt", b"--x\r\n")
    )
    head = f"content-type: {asked.headers['content-type']}\r\n\r\n".encode()
    parts = BytesParser(policy=email.policy.HTTP).parsebytes(head + asked.body).get_payload()
    assert isinstance(parts, list)
    found = []
    for part in parts:
        assert isinstance(part, Message)
        assert part.get_param("name", header="content-disposition") == "files"
        found.append((part.get_content_type(), part.get_payload(decode=True)))
    assert found == [
        ("application/octet-stream", (files / "data.bin").read_bytes()),
        ("text/csv", (files / umlaut).read_bytes()),
        ("application/octet-stream", b""),
        ("text/plain", b"--x\r\n"),
    ]
    assert 'filename="Grüße %22an%22 Ada.csv"\r\n'.encode() in asked.body
    assert b'filename="a%0D%0Ab.txt"\r\n' in asked.body


async def test_nothing_to_deliver(flavour: Flavour, speaker: Speaker) -> None:
    async with Client(flavour, speaker.url) as client:
        for options in ({}, {"text": "x"}):
            with pytest.raises(ValueError, match="Give one file or more, or a text"):
                await client.call("send_to_webhook", *([("a", b"x")] if options else []), **options)
    assert speaker.asked == []


async def test_what_cant_be_read_is_found_before_anything_is_sent(
    flavour: Flavour, speaker: Speaker, files: Path
) -> None:
    speaker.tokens.add(TOKEN)
    async with Client(flavour, speaker.url) as client:
        client.real.token, client.real.type = TOKEN, "cpu"
        with pytest.raises(FileNotFoundError):
            await client.call("send_to_webhook", files / "letter.txt", files / "missing")
        with pytest.raises(OSError, match="is no regular file"):
            await client.call("send_to_webhook", files)
    assert speaker.asked == []


class Meddler:
    """A clock that, when it is asked for the fourth time, between two pieces of a file, does something to the file."""

    def __init__(self, change: Callable[[], object]) -> None:
        self.change = change
        self.asked = 0

    def __call__(self) -> float:
        self.asked += 1
        if self.asked == 4:
            self.change()
        return 0.0


async def test_what_is_added_to_a_file_on_its_way_is_not_sent(flavour: Flavour, speaker: Speaker, files: Path) -> None:
    growing, content = files / "data.bin", bytes(range(256)) * 1024
    speaker.tokens.add(TOKEN)
    clock = Meddler(lambda: growing.write_bytes(content + b"more"))
    async with Client(flavour, speaker.url, clock=clock) as client:
        client.real.token, client.real.type = TOKEN, "cpu"
        await client.call("send_to_webhook", growing)
    assert speaker.asked[0].body == content
    assert growing.stat().st_size > len(content) > PIECE


async def test_a_file_that_becomes_shorter_on_its_way(flavour: Flavour, speaker: Speaker, files: Path) -> None:
    shrinking = files / "data.bin"
    speaker.tokens.add(TOKEN)
    async with Client(flavour, speaker.url, clock=Meddler(lambda: shrinking.write_bytes(b"less"))) as client:
        client.real.token, client.real.type = TOKEN, "cpu"
        with pytest.raises(OSError, match="became shorter while it was sent"):
            await client.call("send_to_webhook", shrinking)
        assert (await client.call("send_to_webhook", text="x"))["data"]["objectsCompleted"] == 1


async def test_a_refusal_that_comes_before_all_is_sent(flavour: Flavour, speaker: Speaker, files: Path) -> None:
    speaker.instead = [Told(413, {"error": "Too large"})]
    async with Client(flavour, speaker.url) as client:
        client.real.token, client.real.type = TOKEN, "cpu"
        with pytest.raises(AparaviError, match="Error sending to webhook: Too large") as caught:
            await client.call("send_to_webhook", files / "data.bin")
    assert caught.value.status == 413
