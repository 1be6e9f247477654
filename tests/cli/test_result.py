import os
from collections.abc import Iterator
from errno import EPERM
from itertools import count
from pathlib import Path

import httpx2
import pytest

from milepost.cli.exits import CommandError, Exit
from milepost.cli.remote import Remote
from milepost.cli.result import Download, save
from tests.cli import processes
from tests.cli.conftest import Command
from tests.cli.foreign import Canned, serving
from tests.cli.jobs import content
from tests.cli.processes import Server
from tests.cli.proxy import Proxy
from tests.cli.test_remote import free_port

SIZE = 3_000_000


@pytest.fixture(scope="module")
def blob(server: Server) -> str:
    """A finished task with `SIZE` bytes as its result."""
    task_id = server.start("blob", size=SIZE, name="wallet ledger.bin")
    server.wait(task_id)
    return task_id


def quick(remote: Remote, task_id: str) -> Download:
    return Download(remote, task_id, sleep=lambda _: None)


def test_a_result_is_saved(milepost: Command, blob: str, tmp_path: Path) -> None:
    outcome = milepost("result", blob, "-o", tmp_path / "a.bin")
    assert outcome == (0, "", f"Saved {tmp_path}/a.bin\n")
    assert (tmp_path / "a.bin").read_bytes() == content(SIZE)
    assert [path.name for path in tmp_path.iterdir()] == ["a.bin"]
    mask = os.umask(0)
    os.umask(mask)
    assert (tmp_path / "a.bin").stat().st_mode & 0o777 == 0o666 & ~mask


def test_in_a_folder_it_has_its_own_name(milepost: Command, blob: str, tmp_path: Path) -> None:
    assert milepost("result", blob, "-o", tmp_path).code == 0
    assert (tmp_path / "wallet ledger.bin").read_bytes() == content(SIZE)


@pytest.mark.parametrize(
    ("disposition", "name"),
    [
        ("attachment; filename=\"a.csv\"; filename*=UTF-8''%C3%A4.csv", "ä.csv"),
        ('attachment; filename="../../etc/passwd"', "passwd"),
        ('attachment; filename="..\\\\..\\\\.bashrc"', "bashrc"),
        ("attachment; filename*=UTF-8''a%0D%0A%1B%5B2J%E2%80%AE.txt", "a___[2J_.txt"),
        ('attachment; filename=".."', "result"),
        ("attachment; filename*=x''a; filename*0=b", "result"),
        ("attachment; filename*=\0''a", "result"),
        ('attachment; filename="/"', "result"),
        ("attachment", "result"),
        ("", "result"),
    ],
)
def test_a_name_is_never_a_path(server: Server, disposition: str, name: str) -> None:
    download = Download(server.remote, "x")
    download.headers = httpx2.Headers({"content-disposition": disposition})
    assert download.name == name
    assert download.size is None


@pytest.mark.parametrize("kind", ["file", "link", "dangling", "device"])
def test_what_only_the_server_has_named_replaces_nothing(
    milepost: Command, blob: str, tmp_path: Path, kind: str
) -> None:
    there, other = tmp_path / "wallet ledger.bin", tmp_path / "other"
    if kind == "file":
        there.write_bytes(b"mine")
    else:
        there.symlink_to("/dev/null" if kind == "device" else other)
    if kind == "link":
        other.write_bytes(b"mine")
    before = {path: path.is_file() and path.read_bytes() for path in tmp_path.iterdir()}
    outcome = milepost("result", blob, "-o", tmp_path)
    assert outcome == (Exit.USAGE, "", f"milepost: {there} is there already; to replace it, name it: -o '{there}'\n")
    assert {path: path.is_file() and path.read_bytes() for path in tmp_path.iterdir()} == before


@pytest.mark.parametrize("knows_links", [True, False])
def test_nor_what_comes_meanwhile(
    server: Server, blob: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, knows_links: bool
) -> None:
    there = tmp_path / "wallet ledger.bin"
    download = quick(server.remote, blob)
    pieces = download.pieces

    def and_then() -> Iterator[bytes]:
        yield from pieces()
        there.symlink_to("elsewhere")

    monkeypatch.setattr(download, "pieces", and_then)
    if not knows_links:
        monkeypatch.setattr(Path, "hardlink_to", refused)
    with pytest.raises(CommandError, match="is there already"):
        save(download, tmp_path)
    assert there.is_symlink()
    assert list(tmp_path.iterdir()) == [there]


def refused(self: Path, target: Path) -> None:
    """What a filesystem says that knows no second names."""
    raise PermissionError(EPERM, os.strerror(EPERM))


def test_a_filesystem_need_not_know_links(
    server: Server, blob: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Path, "hardlink_to", refused)
    save(quick(server.remote, blob), tmp_path)
    assert [(path.name, path.stat().st_size) for path in tmp_path.iterdir()] == [("wallet ledger.bin", SIZE)]


def test_a_file_that_is_there_is_replaced_also_through_a_link(milepost: Command, blob: str, tmp_path: Path) -> None:
    (tmp_path / "real.bin").write_bytes(b"old")
    (tmp_path / "link.bin").symlink_to("real.bin")
    assert milepost("result", blob, "-o", tmp_path / "link.bin").code == 0
    assert (tmp_path / "link.bin").is_symlink()
    assert (tmp_path / "real.bin").stat().st_size == SIZE


def test_devices_stay_devices(milepost: Command, blob: str) -> None:
    assert milepost("result", blob, "-o", "/dev/null") == (0, "", "Saved /dev/null\n")
    assert Path("/dev/null").is_char_device()


def test_a_place_that_can_not_be_written(milepost: Command, blob: str, tmp_path: Path) -> None:
    outcome = milepost("result", blob, "-o", tmp_path / "no" / "such" / "folder")
    assert outcome.code == Exit.USAGE
    assert outcome.err.endswith("no/such/folder can't be written (No such file or directory).\n")


def test_a_broken_connection_is_taken_up_where_it_broke(server: Server, blob: str, tmp_path: Path) -> None:
    with Proxy(server.port, cuts=(900_000, 900_000, 900_000)) as proxy, Remote(proxy.url) as remote:
        save(quick(remote, blob), tmp_path / "a.bin")
        assert proxy.connections == 4
    assert (tmp_path / "a.bin").read_bytes() == content(SIZE)


def test_before_the_first_byte_there_is_nothing_to_take_up(server: Server, blob: str, tmp_path: Path) -> None:
    with Proxy(server.port, cuts=(10,), refuse=1) as proxy, Remote(proxy.url) as remote:
        save(quick(remote, blob), tmp_path / "a.bin")
        assert proxy.connections == 3
    assert (tmp_path / "a.bin").stat().st_size == SIZE


def test_a_result_that_is_another_one_meanwhile_is_not_mixed(server: Server, tmp_path: Path) -> None:
    task_id = server.start("blob", size=SIZE)
    server.wait(task_id)
    with Proxy(server.port, cuts=(900_000,)) as proxy, Remote(proxy.url) as remote:
        download = quick(remote, task_id)
        pieces = download.pieces()
        assert next(pieces) == b""
        download._tag = '"another"'
        with pytest.raises(CommandError, match="changed while it was fetched") as caught:
            list(pieces)
    assert caught.value.code is Exit.FAILED


def test_nothing_is_left_of_a_download_that_is_given_up(server: Server, blob: str, tmp_path: Path) -> None:
    clock = count(0, 100)
    with Proxy(server.port, cuts=(900_000,), refuse=0) as proxy, Remote(proxy.url) as remote:
        download = Download(remote, blob, sleep=lambda _: None, clock=lambda: float(next(clock)))
        with pytest.raises(CommandError) as caught:
            save(download, tmp_path / "a.bin")
    assert caught.value.code is Exit.UNREACHABLE
    assert list(tmp_path.iterdir()) == []


def test_nobody_there_is_told_as_soon_as_by_any_other_command() -> None:
    pauses: list[float] = []
    said: list[None] = []
    clock = [0.0]

    def sleep(seconds: float) -> None:
        pauses.append(seconds)
        clock[0] += seconds

    with Remote(f"http://127.0.0.1:{free_port()}") as remote:
        download = Download(remote, "x", sleep=sleep, clock=lambda: clock[0], on_broken=lambda: said.append(None))
        with pytest.raises(CommandError) as caught:
            list(download.pieces())
    assert caught.value.code is Exit.UNREACHABLE
    assert str(caught.value).startswith(f"No Milepost server answers at {remote.url} (Connection refused). ")
    assert (pauses, said) == ([0.25, 0.5, 1.0], [])


def test_a_connection_that_broke_is_spoken_of_once_a_break(server: Server, blob: str, tmp_path: Path) -> None:
    said: list[None] = []
    with Proxy(server.port, cuts=(900_000, 0, 0, 900_000)) as proxy, Remote(proxy.url) as remote:
        download = Download(remote, blob, sleep=lambda _: None, on_broken=lambda: said.append(None))
        save(download, tmp_path / "a.bin")
        assert proxy.connections == 5
    assert len(said) == 2


def test_a_person_hears_of_a_broken_connection(server: Server, blob: str, command: Command) -> None:
    with Proxy(server.port, cuts=(900_000,)) as proxy:
        outcome = command("result", blob, "-o", "/dev/null", "--url", proxy.url)
    assert outcome == (0, "", "The connection broke; trying again.\nSaved /dev/null\n")


def test_a_server_that_can_not_for_a_while_is_asked_again(tmp_path: Path) -> None:
    busy = Canned(503, b'{"title": "Later", "detail": "The store is busy."}', "application/problem+json")
    with serving(busy, Canned(502), Canned(200, b"abc", "text/plain")) as server, Remote(server.url) as remote:
        save(quick(remote, "x"), tmp_path / "a")
    assert (tmp_path / "a").read_bytes() == b"abc"
    clock = count(0, 100)
    with serving(busy) as server, Remote(server.url) as remote, pytest.raises(CommandError) as caught:
        list(Download(remote, "x", sleep=lambda _: None, clock=lambda: float(next(clock))).pieces())
    assert (caught.value.code, str(caught.value)) == (Exit.UNREACHABLE, "The store is busy.")


def test_in_a_pipe_the_bytes_are_as_they_are(server: Server, blob: str, tmp_path: Path) -> None:
    for more in ((), ("-o", "-")):
        with (tmp_path / "out").open("wb") as out:
            process = processes.spawn("result", blob, "--url", server.url, *more, stdout=out)
            assert process.wait(60) == 0
            assert process.stderr is not None
            assert process.stderr.read() == ""
            process.stderr.close()
        assert (tmp_path / "out").read_bytes() == content(SIZE)


def test_there_is_no_result_yet_or_never(milepost: Command, server: Server) -> None:
    spinning = server.start("spin")
    server.wait(spinning, "running")
    outcome = milepost("result", spinning)
    assert outcome == (Exit.FAILED, "", "milepost: The task is running; there is no result yet.\n")
    milepost("cancel", spinning)
    server.wait(spinning)
    assert milepost("result", spinning).code == Exit.FAILED
    assert milepost("result", "0198c0de-7a5b-7e11-8a3c-2f6d5b1c9e40").code == Exit.NOT_FOUND


def test_an_empty_result(milepost: Command, server: Server, tmp_path: Path) -> None:
    task_id = server.start("blob", size=0)
    server.wait(task_id)
    assert milepost("result", task_id, "-o", tmp_path / "empty").code == 0
    assert (tmp_path / "empty").read_bytes() == b""


@pytest.mark.parametrize(
    ("media_type", "is_text"),
    [
        ("text/csv; charset=utf-8", True),
        ("application/json", True),
        ("application/problem+json", True),
        ("application/octet-stream", False),
        ("image/png", False),
    ],
)
def test_what_a_terminal_can_show(server: Server, media_type: str, is_text: bool) -> None:
    download = Download(server.remote, "x")
    download.headers = httpx2.Headers({"content-type": media_type})
    assert download.is_text is is_text


def test_a_server_without_tags_or_lengths_is_no_obstacle(tmp_path: Path) -> None:
    with serving(Canned(200, b"abc", "text/plain")) as server, Remote(server.url) as remote:
        save(quick(remote, "x"), tmp_path / "a")
    assert (tmp_path / "a").read_bytes() == b"abc"


def test_the_whole_command(server: Server, blob: str) -> None:
    outcome = processes.milepost("result", blob, "-o", "/dev/null", url=server.url)
    assert (outcome.returncode, outcome.stdout) == (0, "")


def test_a_folder_that_is_not_there_is_no_file(milepost: Command, blob: str, tmp_path: Path) -> None:
    outcome = milepost("result", blob, "-o", f"{tmp_path}/downloads/")
    assert outcome.code == Exit.USAGE
    assert f"there is no folder {tmp_path}/downloads/" in outcome.err
    assert list(tmp_path.iterdir()) == []
