import base64
import os
from pathlib import Path
from typing import Any

import pytest

from milepost.cli.exits import CommandError, Exit
from milepost.cli.sources import LONGEST_WAY, load
from milepost.sealing import Sealing
from tests.cli.processes import JOBS

HELLO = """
from milepost import Context, Milepost

app = Milepost()

@app.task
async def {name}(ctx: Context) -> str:
    return "hello"
"""


def write(folder: Path, name: str, text: str) -> Path:
    path = folder / name
    path.write_text(text)
    return path


def complaint(*files: Path, store: str | None = None, **options: Any) -> str:
    with pytest.raises(CommandError) as caught:
        load(files, store=store, **options)
    assert caught.value.code is Exit.USAGE
    return str(caught.value)


def test_the_types_of_all_files(tmp_path: Path) -> None:
    app = load([JOBS, write(tmp_path, "hello.py", HELLO.format(name="hello"))], store=str(tmp_path / "x.db"))
    assert {"count", "hello"} <= app.types.keys()
    assert app.path == tmp_path / "x.db"


def test_an_instance_that_two_files_share_counts_once(tmp_path: Path) -> None:
    write(tmp_path, "shared_hello.py", HELLO.format(name="hello"))
    first = write(tmp_path, "one.py", "from shared_hello import app")
    second = write(tmp_path, "two.py", "from shared_hello import app, hello\nalso = app")
    assert list(load([first, second], store=None).types) == ["hello"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("x = 1", "{file}: no Milepost in it. It needs `app = Milepost()`, and tasks under `@app.task`."),
        ("a = 1\ndef f(:\n    pass", "{file}, line 2: invalid syntax: def f(:"),
        ("a = 1\nb = a / 0", "{file}, line 2: ZeroDivisionError: division by zero"),
        (
            "def f():\n    raise KeyError('x')\n\nf()",
            "{file}, line 2: KeyError: 'x'\n  {file}, line 4: f()\n  {file}, line 2, in f: raise KeyError('x')",
        ),
        ("", "{file}: no Milepost in it. It needs `app = Milepost()`, and tasks under `@app.task`."),
        ("raise ValueError", "{file}, line 1: ValueError"),
        ("import json\njson.loads('{')", "{file}, line 2: JSONDecodeError: Expecting property name {json}"),
        ("raise SystemExit('stop')", "{file}, line 1: SystemExit: stop"),
        (
            "open('/no/such/thing')",
            "{file}, line 1: FileNotFoundError: [Errno 2] No such file or directory: '/no/such/thing'",
        ),
        ("import no_such_module", "{file}, line 1: ModuleNotFoundError: No module named 'no_such_module'"),
        ("raise SyntaxError('odd')", "{file}, line 1: SyntaxError: odd"),
        ("raise ValueError('two\\nlines')", "{file}, line 1: ValueError: two lines"),
    ],
)
def test_a_file_that_is_of_no_use(tmp_path: Path, text: str, message: str) -> None:
    path = write(tmp_path, "bad.py", text)
    message = message.replace("{json}", "enclosed in double quotes: line 1 column 2 (char 1)")
    assert complaint(path) == message.replace("{file}", str(path))


def test_a_file_that_imports_a_broken_one(tmp_path: Path) -> None:
    broken = write(tmp_path, "broken_part.py", "a = (")
    path = write(tmp_path, "whole.py", "import broken_part")
    assert complaint(path).startswith(f"{broken}, line 1: '(' was never closed")


def test_files_that_are_not_there(tmp_path: Path) -> None:
    assert complaint(tmp_path / "no.py") == f"{tmp_path}/no.py: no such file."
    assert complaint(tmp_path / f"{'x' * 300}.py").endswith("x.py can't be read (File name too long).")
    path = write(tmp_path, "text.txt", "")
    assert complaint(path) == f"{path} is not a Python file: that is one whose name ends with .py."
    os.mkfifo(tmp_path / "pipe.py")
    assert complaint(tmp_path / "pipe.py").startswith(f"{tmp_path}/pipe.py is not a Python file")
    assert complaint(tmp_path) == f"{tmp_path} is a folder; name the Python files in it that have task types."


def test_a_module_that_is_named_as_for_other_servers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "shop").mkdir()
    (tmp_path / "shop" / "tasks.py").touch()
    for name in ("shop.tasks:app", "shop.tasks", "shop/tasks", "shop/tasks.py:app"):
        assert complaint(Path(name)) == f"{name}: no such file. Is it shop/tasks.py?"


def test_an_error_far_from_the_file_comes_with_the_way_there(tmp_path: Path) -> None:
    settings = write(tmp_path, "broken_settings.py", "def read():\n    return {}['url']\n\nurl = read()")
    path = write(tmp_path, "far.py", "import json\nimport broken_settings")
    assert complaint(path).splitlines() == [
        f"{settings}, line 2: KeyError: 'url'",
        f"  {path}, line 2: import broken_settings",
        f"  {settings}, line 4: url = read()",
        f"  {settings}, line 2, in read: return {{}}['url']",
    ]


def test_the_way_is_not_shown_for_ever(tmp_path: Path) -> None:
    path = write(tmp_path, "deep.py", "def f(n):\n    f(n + 1)\n\nf(0)")
    lines = complaint(path).splitlines()
    assert lines[0].startswith(f"{path}, line 2: RecursionError: ")
    assert len(lines) == 1 + LONGEST_WAY


def test_a_file_may_have_two_instances(tmp_path: Path) -> None:
    text = HELLO.format(name="one") + HELLO.format(name="two").replace("app", "other")
    assert list(load([write(tmp_path, "both.py", text)], store=None).types) == ["one", "two"]
    text = text.replace("other = Milepost()", "other = Milepost('other.db')")
    assert complaint(write(tmp_path, "apart.py", text)) == (
        "The files name several stores (milepost.db, other.db); say which with --store."
    )


def test_two_files_with_one_name(tmp_path: Path) -> None:
    first = write(tmp_path, "one.py", HELLO.format(name="hello"))
    second = write(tmp_path, "two.py", HELLO.format(name="hello"))
    assert (
        complaint(first, second)
        == f"{first} and {second} both have a task type 'hello'; give one of them another name."
    )


def test_the_store_is_the_one_that_the_files_name(tmp_path: Path) -> None:
    first = write(tmp_path, "one.py", HELLO.format(name="one").replace("Milepost()", "Milepost('one.db')"))
    second = write(tmp_path, "two.py", HELLO.format(name="two").replace("Milepost()", "Milepost('two.db')"))
    assert load([first], store=None).path == Path("one.db")
    assert load([first, second], store="x.db").path == Path("x.db")
    assert complaint(first, second) == "The files name several stores (one.db, two.db); say which with --store."


def test_folders_and_stores_that_are_none(tmp_path: Path) -> None:
    assert complaint(JOBS, files_root=tmp_path / "no") == f"--files-root: {tmp_path}/no is not a folder."
    (tmp_path / "file").touch()
    assert complaint(JOBS, files_folder=tmp_path / "file") == f"--files: {tmp_path}/file is not a folder."
    assert load([JOBS], store=str(tmp_path / "x.db"), files_folder=tmp_path / "new").types
    for store in ("mysql://x", ""):
        assert complaint(JOBS, store=store).startswith(f"--store: {store!r} names no store")


def test_the_networks_that_may_be_called_are_named_here_or_in_the_files(tmp_path: Path) -> None:
    allows = HELLO.replace("Milepost()", "Milepost(callback_allow='10.{n}.0.0/16')")
    files = [write(tmp_path, f"{name}.py", allows.format(name=name, n=n)) for n, name in enumerate(("one", "two"))]
    assert load(files, store=None).callback_allow == ("10.0.0.0/16", "10.1.0.0/16")
    assert load(files, store=None, callback_allow=["::1"]).callback_allow == ("::1",)
    assert complaint(files[0], callback_allow=["here"]).startswith("--callback-allow: 'here' is no network;")


def test_the_public_url_is_what_the_files_say_unless_it_is_said_here(tmp_path: Path) -> None:
    named = HELLO.replace("Milepost()", "Milepost(public_url='https://{n}.example.com/')")
    files = [write(tmp_path, f"{n}.py", named.format(name=f"t{n}", n=n)) for n in range(2)]
    plain = write(tmp_path, "plain.py", HELLO.format(name="plain"))
    assert load([plain], store=None).public_url is None
    assert load([plain, files[0]], store=None).public_url == "https://0.example.com"
    assert load(files, store=None, public_url="https://example.com").public_url == "https://example.com"
    assert complaint(*files).startswith(f"The files {files[0]} and {files[1]} name different public URLs;")
    assert complaint(plain, public_url="example.com").startswith("--public-url: 'example.com' is not a URL like")


def test_the_key_for_secrets_is_the_one_that_the_files_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    keys = [base64.b64encode(bytes([n]) * 32).decode() for n in (1, 2)]
    seals = HELLO.replace("Milepost()", "Milepost(secret_key='{key}')")
    files = [write(tmp_path, f"{n}.py", seals.format(name=f"t{n}", key=keys[n // 2])) for n in range(3)]
    plain = write(tmp_path, "plain.py", HELLO.format(name="plain"))
    assert not load([plain], store=None).sealing
    assert load([plain, *files[:2]], store=None).sealing == Sealing(keys[0])
    assert complaint(*files).startswith("The files name several secret keys;")
    monkeypatch.setenv("MILEPOST_SECRET_KEY", keys[1])
    later = write(tmp_path, "later.py", HELLO.format(name="later"))
    assert load([later], store=None).sealing == Sealing(keys[1])


def test_the_dialects_are_those_that_one_of_the_files_names(tmp_path: Path) -> None:
    speaks = "from milepost.http.dialects.native import Native\n" + HELLO.replace("()", "(dialects=[Native()])", 1)
    plain = write(tmp_path, "plain.py", HELLO.format(name="plain"))
    first = write(tmp_path, "first.py", speaks.format(name="first"))
    second = write(tmp_path, "second.py", speaks.format(name="second"))
    assert load([plain], store=None).dialects is None
    [dialect] = load([plain, first], store=None).dialects or ()
    assert dialect.name == "native"
    assert complaint(first, plain, second) == (
        f"The files {first} and {second} each name the dialects to serve; let one of them do it."
    )
