"""Every snippet and command of README and docs/ is executed, as it stands, in the order of its page.

A Python block whose first line is `# name.py` is a file that the commands of every page find. `milepost serve`,
`milepost worker` and `uvicorn` run in the background until the page is through. Port 8006 becomes a free one, TASK_ID
the id of the newest task.
"""

import json
import os
import re
import shlex
import signal
import socket
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
BACKGROUND = {"milepost serve": b"ready", "milepost worker": b"ready", "uvicorn": b"startup complete"}
"""What is not waited for, and what it says once it is of use."""
ELSEWHERE = ("scripts/", ". .venv/")
"""Run by tests of their own, or true of the checkout only."""


class Block(NamedTuple):
    language: str
    text: str

    @property
    def file(self) -> str | None:
        named = re.match(r"# (\S+\.py)\n", self.text)
        return named[1] if named else None


def blocks(page: Path) -> list[Block]:
    return [
        Block(m[1], m[2]) for m in re.finditer(r"^```(\w+)\n(.*?)^```$", page.read_text(), re.MULTILINE | re.DOTALL)
    ]


def commands(block: Block) -> list[str]:
    joined = block.text.replace("\\\n", " ")
    return [line for line in (re.sub(r"(^|\s+)# .*$", "", line).strip() for line in joined.splitlines()) if line]


class Reader:
    """Somebody who types what a page says."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        self.environment = os.environ | {"PATH": path, "MILEPOST_URL": self.url, "MILEPOST_PORT": str(self.port)}
        self.running: list[subprocess.Popen[bytes]] = []

    def types(self, command: str) -> None:
        command = command.replace("8006", str(self.port))
        if "TASK_ID" in command:
            command = command.replace("TASK_ID", self.newest())
        for beginning, said in BACKGROUND.items():
            if command.startswith(beginning):
                self.starts(command, until=said)
                return
        done = subprocess.run(
            ["bash", "-c", command], cwd=self.folder, env=self.environment, capture_output=True, timeout=60, check=False
        )
        assert done.returncode == 0, f"{command}\n{done.stdout.decode()}\n{done.stderr.decode()}"

    def starts(self, command: str, *, until: bytes) -> None:
        process = subprocess.Popen(
            shlex.split(command),
            cwd=self.folder,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        self.running.append(process)
        assert process.stdout is not None
        told = b""
        while until not in told:
            line = process.stdout.readline()
            assert line, told.decode()
            told += line

    def newest(self) -> str:
        listed = subprocess.run(
            ["milepost", "list", "--json"], cwd=self.folder, env=self.environment, capture_output=True, check=True
        )
        tasks = json.loads(listed.stdout)
        return str((tasks["tasks"] if isinstance(tasks, dict) else tasks)[0]["id"])

    def leaves(self) -> None:
        for process in reversed(self.running):
            process.send_signal(signal.SIGTERM)
        told = [process.communicate(timeout=40)[0].decode() for process in self.running]
        assert [process.returncode for process in self.running] == [0] * len(told), "\n".join(told)


@pytest.fixture
def reader(tmp_path: Path) -> Iterator[Reader]:
    for page in PAGES:
        for block in blocks(page):
            if block.file:
                (tmp_path / block.file).write_text(block.text)
    reader = Reader(tmp_path)
    yield reader
    reader.leaves()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_what_a_page_says_works(page: Path, reader: Reader) -> None:
    for block in blocks(page):
        if block.language == "python":
            file = reader.folder / (block.file or "snippet.py")
            file.write_text(block.text)
            reader.types(f"python {file.name}")
        elif block.language == "sh":
            for command in commands(block):
                if not command.startswith(ELSEWHERE):
                    reader.types(command)


def test_what_is_not_typed_is_there() -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    for page in PAGES:
        for block in blocks(page):
            for command in commands(block) if block.language == "sh" else []:
                if command.startswith("scripts/"):
                    assert os.access(ROOT / command.split()[0], os.X_OK), command
        for extra in re.findall(r"milepost\[(\w+)\]", page.read_text()):
            assert extra in extras, page.name


def test_links_between_pages_lead_somewhere() -> None:
    for page in PAGES:
        for target in re.findall(r"\]\(([^)#]+?)(?:#[^)]*)?\)", page.read_text()):
            if "://" not in target:
                assert (page.parent / target).exists(), f"{page.name} -> {target}"
