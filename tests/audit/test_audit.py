"""Does the audit find what is known, say what it was not told, and fail where it should?"""

import json
import tomllib
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tests.audit import __main__ as audit
from tests.audit import extract, pins
from tests.audit.extract import Advisory, Extract
from tests.audit.findings import Hole, Ignored, judged
from tests.audit.pins import Pin

TODAY = date(2026, 3, 2)
OLD = Pin("templates", "2.10")
HOLE = Hole(OLD, ("ADV-1", "CVE-1"), ("2.10.1",))
LOCK = """#
templates==2.10 \\
    --hash=sha256:00
Server_Kit==1.0 ; python_version < "4"
    # via templates
"""
CLIENTS = "pypi 'a-client[extra]==4.8.0' 'other==1.1'\nnpmjs a-client@1.0\n"
RECORD: dict[str, Any] = {
    "id": "ADV-1",
    "aliases": ["CVE-1"],
    "modified": "2026-03-01T10:00:00Z",
    "affected": [
        {
            "package": {"ecosystem": "PyPI", "name": "Templates"},
            "ranges": [
                {"type": "ECOSYSTEM", "events": [{"introduced": "0"}, {"fixed": "2.10.1"}]},
                {"type": "GIT", "events": [{"introduced": "0"}]},
            ],
        },
        {"package": {"ecosystem": "npm", "name": "templates"}},
    ],
}
YAML = """
id: ADV-2
modified: 2026-02-01T10:00:00Z
affected:
- package: {name: server-kit, ecosystem: PyPI}
  versions: ['0.9']
"""


def program(path: Path, said: str, code: int = 0) -> None:
    """A program that says something, whatever it is asked."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\ncat <<'END'\n{said}\nEND\nexit {code}\n")
    path.chmod(0o755)


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A checkout with two locked packages, where no service can be asked."""
    root = tmp_path / "checkout"
    (root / "scripts").mkdir(parents=True)
    (root / "scripts" / "clients.sh").write_text(CLIENTS)
    (root / "requirements.lock").write_text(LOCK)
    (root / "pyproject.toml").write_text("")
    (tmp_path / "npm").mkdir()
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:/usr/bin:/bin")
    program(tmp_path / "bin" / "npm", json.dumps({"error": "405"}), 1)
    return root


@pytest.fixture
def run(checkout: Path, capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str]]:
    """Carries the audit out: its exit code, and what it says."""

    def run(*arguments: str | Path) -> tuple[int, str]:
        code = audit.main([str(argument) for argument in arguments], checkout, TODAY)
        return code, capsys.readouterr().out

    return run


def extracted(checkout: Path, **changed: Any) -> Path:
    """An extract that knows of one hole in one package, and of none in the others."""
    names = ("a-client", "other", "server-kit", "templates")
    made = Extract(TODAY, names, (Advisory("ADV-1", ("CVE-1",), "templates", (), ("2.10",)),))
    file = checkout / "advisories.json"
    file.write_bytes(msgspec.json.encode(msgspec.structs.replace(made, **changed)))
    return file


def service(checkout: Path, *dependencies: dict[str, Any]) -> None:
    """Lets pip-audit answer so."""
    program(checkout / ".audit" / "bin" / "pip-audit", json.dumps({"dependencies": dependencies}), 1)


def test_what_is_locked_and_what_clients_need_is_looked_at(checkout: Path) -> None:
    assert pins.locked(checkout / "requirements.lock") == [OLD, Pin("server-kit", "1.0")]
    assert pins.clients(checkout / "scripts" / "clients.sh") == [Pin("a-client", "4.8.0"), Pin("other", "1.1")]
    root = audit.ROOT
    lock = (root / "requirements.lock").read_text()
    assert len(pins.locked(root / "requirements.lock")) == lock.count("==") > 50
    assert Pin("quantcdn-client", "4.8.0") in pins.clients(root / "scripts" / "clients.sh")


def test_a_known_hole_fails_the_run_and_is_named(checkout: Path, run: Callable[..., tuple[int, str]]) -> None:
    service(
        checkout,
        {"name": "templates", "vulns": [{"id": "ADV-1", "aliases": ["CVE-1"], "fix_versions": ["2.10.1"]}]},
        {"name": "Server_Kit", "vulns": []},
    )
    # The stub answers alike whichever file it is asked about, so that the clients' has the same packages.
    (checkout / "scripts" / "clients.sh").write_text("pypi 'templates==2.10' 'server-kit==1.0'\n")
    code, said = run()
    assert code == audit.HOLES
    assert "Asked PyPI's service, now: 2 packages, 1 known holes to mend." in said
    assert "\ntemplates 2.10: ADV-1 (CVE-1), mended in 2.10.1\n" in said
    assert "In a client that tests drive: templates 2.10: ADV-1" in said


def test_an_extract_fails_the_run_too(checkout: Path, run: Callable[..., tuple[int, str]]) -> None:
    code, said = run("--advisories", extracted(checkout))
    assert (code, "templates 2.10: ADV-1 (CVE-1), not mended so far" in said) == (audit.HOLES, True)
    assert "Asked the stored extract of 2026-03-02: 2 packages" in said


def test_without_holes_it_is_well(checkout: Path, run: Callable[..., tuple[int, str]]) -> None:
    assert run("--advisories", extracted(checkout, advisories=()))[0] == 0


def test_who_can_not_be_asked_has_said_nothing(checkout: Path, run: Callable[..., tuple[int, str]]) -> None:
    code, said = run()
    assert code == audit.NOT_AUDITED
    assert said.count("NOT AUDITED") == 2
    skipped = {"skip_reason": "Dependency not found"}
    service(checkout, {"name": "templates", **skipped}, {"name": "server-kit", **skipped})
    (checkout / "scripts" / "clients.sh").write_text("pypi 'templates==2.10' 'server-kit==1.0'\n")
    assert run()[0] == audit.NOT_AUDITED, "what was skipped was not looked at"
    service(checkout, {"name": "templates", "vulns": []}, {"name": "server-kit", **skipped})
    code, said = run()
    assert (code, said.splitlines()[-1]) == (audit.NOT_AUDITED, "NOT AUDITED: server-kit")
    program(checkout / ".audit" / "bin" / "pip-audit", "A traceback", 1)
    assert run()[0] == audit.NOT_AUDITED


def test_a_package_that_an_extract_does_not_cover_is_named(checkout: Path, run: Callable[..., tuple[int, str]]) -> None:
    code, said = run("--advisories", extracted(checkout, advisories=(), packages=("templates",)))
    assert (code, said.splitlines()[-1]) == (audit.NOT_AUDITED, "NOT AUDITED: server-kit")


def test_an_old_extract_does_not_count(checkout: Path, run: Callable[..., tuple[int, str]]) -> None:
    for day, code in ((TODAY - extract.TOO_OLD, audit.HOLES), (date(2025, 1, 1), audit.NOT_AUDITED)):
        assert run("--advisories", extracted(checkout, day=day))[0] == code
    assert "too old to count" in run("--advisories", extracted(checkout, day=date(2025, 1, 1)))[1]


def test_what_npm_knows_of_clients_is_told(checkout: Path, tmp_path: Path, run: Callable[..., tuple[int, str]]) -> None:
    via = [{"title": "Reads too far", "url": "https://example.com/1"}, "another"]
    program(tmp_path / "bin" / "npm", json.dumps({"vulnerabilities": {"sockets": {"via": via}}}), 1)
    code, said = run("--advisories", extracted(checkout, advisories=()))
    assert (code, said.splitlines()[0]) == (
        0,
        "In a client that tests drive: sockets: Reads too far, https://example.com/1",
    )


def test_a_hole_is_ignored_with_a_reason_until_a_day(checkout: Path, run: Callable[..., tuple[int, str]]) -> None:
    entry = '[[tool.audit.ignored]]\nid = "CVE-1"\nreason = "Nobody renders."\nuntil = 2026-03-0'
    for day, code in (("2", 0), ("1", audit.HOLES)):
        (checkout / "pyproject.toml").write_text(entry + day)
        assert run("--advisories", extracted(checkout))[0] == code
    assert judged([HOLE], [Ignored("ADV-1", "Nobody renders.", date(2026, 3, 1))], TODAY) == [
        f"{HOLE}; it was ignored until 2026-03-01: Nobody renders."
    ]
    assert judged([HOLE], [Ignored("ADV-9", "", TODAY)], TODAY) == [str(HOLE)]
    with pytest.raises(TypeError):
        Ignored.of({"tool": {"audit": {"ignored": [{"id": "ADV-1", "until": TODAY}]}}})


def test_an_extract_is_made_of_a_database(checkout: Path, run: Callable[..., tuple[int, str]], tmp_path: Path) -> None:
    database = tmp_path / "database"
    (database / "vulns" / "server-kit").mkdir(parents=True)
    (database / "vulns" / "server-kit" / "ADV-2.yaml").write_text(YAML)
    (database / "README.md").write_text("A database.")
    (database / "other.json").write_text("[]")
    records = {"ADV-1": RECORD, "ADV-3": RECORD | {"id": "ADV-3", "withdrawn": "2026-03-01T00:00:00Z"}}
    records["ADV-4"] = {"id": "ADV-4", "modified": "2026-01-01", "affected": [{"ranges": []}]}
    for name, record in records.items():
        (database / f"{name}.json").write_text(json.dumps(record))
    code, said = run("--extract", database)
    file = checkout / "made.json"
    file.write_text(said)
    made = extract.read(file)
    assert (code, made.day) == (0, date(2026, 3, 1))
    assert made.packages == ("a-client", "other", "server-kit", "templates")
    assert [(each.id, each.package, each.fixed_in) for each in made.advisories] == [
        ("ADV-2", "server-kit", ()),
        ("ADV-1", "templates", ("2.10.1",)),
    ]
    found = made.audit([OLD, Pin("templates", "2.10.1"), Pin("server-kit", "1.0")], TODAY)
    assert (found.holes, found.unknown) == ((HOLE,), ())
    with pytest.raises(ValueError, match="no advisories"):
        extract.made(tmp_path / "npm", ["templates"])


@pytest.mark.parametrize(
    ("events", "affected", "free"),
    [
        ([{"introduced": "0"}, {"fixed": "2.0"}], "0.1 1.9 2.0rc1", "2.0 2.0.post1 3"),
        ([{"introduced": "1.5"}, {"last_affected": "2.0"}], "1.5 2.0", "1.4 2.0.1"),
        (
            [{"introduced": "1"}, {"fixed": "1.2"}, {"introduced": "2"}, {"fixed": "2.3"}],
            "1.1 2 2.2",
            "0.9 1.2 1.9 2.3",
        ),
        ([{"fixed": "2"}, {"introduced": "0"}], "1", "2"),
        ([{"introduced": "0"}, {"fixed": "no version"}], "99", ""),
    ],
)
def test_a_range_has_the_versions_between_its_events(events: list[dict[str, str]], affected: str, free: str) -> None:
    advisory = Advisory("ADV-1", (), "templates", (tuple(events),), ("0.0.1",))
    assert advisory.affects("0.0.1")
    assert all(advisory.affects(version) for version in affected.split())
    assert not any(advisory.affects(version) for version in free.split())


def test_what_is_ignored_now_has_a_reason() -> None:
    project = tomllib.loads((audit.ROOT / "pyproject.toml").read_text())
    assert all(entry.reason and entry.until for entry in Ignored.of(project))
