"""Whether another process finds a function, and a file becomes a module."""

import subprocess
import sys
from pathlib import Path

import pytest

from milepost.engine.source import Source, load, load_file, source_of

FUNCTION = "def work() -> int:\n    return 7\n"
PRINT_SOURCE = "from milepost.engine.source import source_of\nprint(source_of(work))\n"


def test_a_function_of_a_module_is_found_by_its_name() -> None:
    source = source_of(source_of)
    assert source == Source("milepost.engine.source", None, "source_of")
    assert load(source) is source_of


def test_a_function_of_a_file_is_found_by_the_file(tmp_path: Path) -> None:
    file = tmp_path / "jobs.py"
    file.write_text(FUNCTION)
    work = load_file(file).work
    source = source_of(work)
    assert source == Source(work.__module__, str(file), "work")
    assert load(source) is work


def test_closures_methods_and_what_is_typed_in_are_not_found() -> None:
    assert source_of(lambda: None) is None
    assert source_of(Path.exists) is None
    space = {"__name__": "nowhere"}
    exec(FUNCTION, space)
    assert source_of(space["work"]) is None  # type: ignore[arg-type]


def run(*command: str, cwd: Path) -> str:
    return subprocess.run(
        [sys.executable, *command], cwd=cwd, check=True, capture_output=True, text=True
    ).stdout.strip()


def test_a_script_is_found_by_its_file_and_a_module_that_was_run_by_its_name(tmp_path: Path) -> None:
    package = tmp_path / "shop"
    package.mkdir()
    (package / "jobs.py").write_text(FUNCTION + PRINT_SOURCE)
    assert run("shop/jobs.py", cwd=tmp_path) == str(Source("__main__", str(package / "jobs.py"), "work"))
    assert run("-m", "shop.jobs", cwd=tmp_path) == str(Source("shop.jobs", None, "work"))
    assert run("-c", FUNCTION + PRINT_SOURCE, cwd=tmp_path) == "None"


def test_a_name_that_is_gone_is_an_error() -> None:
    with pytest.raises(AttributeError, match="gone"):
        load(Source("milepost.engine.source", None, "gone"))


def test_a_file_runs_once_and_finds_what_lies_beside_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", sys.path.copy())
    (tmp_path / "beside_the_jobs.py").write_text("NUMBER = 7\n")
    (tmp_path / "jobs.py").write_text("from beside_the_jobs import NUMBER\n")
    (tmp_path / "more.py").write_text("")
    module = load_file(tmp_path / "jobs.py")
    assert module.NUMBER == 7
    assert load_file(Path(f"{tmp_path}/../{tmp_path.name}/jobs.py")) is module
    load_file(tmp_path / "more.py")
    assert sys.path.count(str(tmp_path)) == 1


def test_files_of_the_same_name_are_different_modules(tmp_path: Path) -> None:
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "jobs.py").write_text(f"NAME = {folder!r}\n")
    assert [load_file(tmp_path / folder / "jobs.py").NAME for folder in ("a", "b")] == ["a", "b"]


def test_a_file_that_fails_leaves_nothing_behind(tmp_path: Path) -> None:
    file = tmp_path / "jobs.py"
    file.write_text("raise SystemExit(3)\n")
    before = set(sys.modules)
    with pytest.raises(SystemExit):
        load_file(file)
    assert not {name for name in set(sys.modules) - before if name.endswith("_jobs")}
    file.write_text("NUMBER = 8\n")
    assert load_file(file).NUMBER == 8


def test_what_is_no_python_file_is_said(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        load_file(tmp_path / "none.py")
    (tmp_path / "jobs.txt").write_text("")
    with pytest.raises(ImportError, match=r"jobs\.txt is not a Python file"):
        load_file(tmp_path / "jobs.txt")
