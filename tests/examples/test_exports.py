"""Does an export give the right file, to the byte, whatever happens on the way?"""

import asyncio
import json
import sqlite3
import sys
from contextlib import closing
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest

from milepost.access.principal import LOCAL
from milepost.errors import Invalid
from milepost.task import Counts, FileResult, State
from tests.examples.running import example, exported, log_lines, result, running, served, until, until_done, until_end

exports = example("exports")
ROWS = 12_345


@pytest.fixture(scope="module")
def small_ledger(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("ledger") / "ledger.db"
    example("ledger").ensure_ledger(path, rows=ROWS)
    return path


@pytest.fixture
def ledger(small_ledger: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A ledger of this test's own."""
    path = tmp_path / "ledger.db"
    path.write_bytes(small_ledger.read_bytes())
    monkeypatch.setenv("MILEPOST_LEDGER", str(path))
    return path


def written(ledger: Path, index: str, form: str, partial: Path, position: Any = None) -> tuple[Any, bytes]:
    """What the steps of an export write one after the other, from a position on."""
    at = position or exports.begin(None, ledger, exports.INDEXES[index], form, partial)
    while at.row < at.last:
        at = exports.next_page(ledger, exports.INDEXES[index], form, partial, at).position
    exports.write_at(partial, at.bytes, exports.TAILS[form])
    return at, partial.read_bytes()


@pytest.mark.parametrize("form", ["csv", "json"])
@pytest.mark.parametrize(
    ("index", "name"),
    [
        ("transactions", "Transaction"),
        ("users", "User"),
        ("vouchers", "Voucher"),
        ("wallet-ledger", "Wallet"),
        ("products", "Product"),
        ("product-variants", "Product_Variant"),
    ],
)
async def test_every_index_as_every_format(ledger: Path, tmp_path: Path, index: str, name: str, form: str) -> None:
    async with running(served(exports, tmp_path)) as app:
        task = await until_end(app, await app.start("export", {"export_index": index, "export_format": form}))
        assert task.state is State.SUCCEEDED, task.failure
        assert isinstance(task.result, FileResult)
        assert task.result.name == f"{name}_Export-{task.number}.{form}"
        assert task.result.media_type == {"csv": "text/csv", "json": "application/json"}[form]
        content = await result(app, task)
        said = (await log_lines(app, task))[-1]
    plan = exports.INDEXES[index]
    assert content == exported(ledger, plan.table, plan.money, form)
    with closing(sqlite3.connect(ledger)) as database:
        rows = [
            dict(zip(("status", "money"), row, strict=True))
            for row in database.execute(f"select status, {plan.money} from {plan.table}")
        ]
    skips = sum(row["status"] == "voided" for row in rows)
    errors = sum(row["money"].endswith("O") for row in rows if row["status"] != "voided")
    assert task.counts == Counts(len(rows), len(rows), failed=errors, skipped=skips)
    assert said.message == "Export complete"
    assert said.fields == {
        "success": len(rows) - skips - errors,
        "errors": errors,
        "skips": skips,
        "total": len(rows),
    }
    if form == "json":
        assert len(json.loads(content)) == len(rows) - skips - errors


async def test_input_is_checked_when_it_is_started(ledger: Path, tmp_path: Path) -> None:
    async with running(served(exports, tmp_path)) as app:
        with pytest.raises(Invalid, match="/input/export_index"):
            await app.start("export", {"export_index": "passwords"})


async def test_log_tells_pages_and_unreadable_rows_within_bounds(
    ledger: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exports, "LOG_EVERY", 10_000)
    monkeypatch.setattr(exports, "NAMED_ERRORS", 3)
    async with running(served(exports, tmp_path)) as app:
        task = await until_end(app, await app.start("export", {"export_index": "wallet-ledger"}))
        lines = [(entry.level, entry.message) for entry in await log_lines(app, task)]
    assert lines == [
        ("info", "Reading from row 1"),
        ("warning", "Row 997: its amount can't be read"),
        ("warning", "Row 1994: its amount can't be read"),
        ("warning", "Row 2991: its amount can't be read"),
        ("info", "10000 rows read"),
        ("info", "Export complete"),
    ]


async def test_ledger_is_made_on_first_use(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MILEPOST_LEDGER", str(tmp_path / "new.db"))
    monkeypatch.setattr(exports, "MAKE_LEDGER", [*exports.MAKE_LEDGER, "--rows", "100"])
    async with running(served(exports, tmp_path)) as app:
        task = await until_end(app, await app.start("export", {"export_index": "wallet-ledger"}))
        assert task.counts.total == 100
        assert (await log_lines(app, task))[0].message == f"Making the ledger {tmp_path / 'new.db'}"


async def test_pause_and_resume(ledger: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exports, "PAGE", 25)
    async with running(served(exports, tmp_path)) as app:
        task = await app.start("export", {"export_index": "wallet-ledger", "export_format": "json"})
        await until_done(app, task, 500)
        await app.service.pause(LOCAL, task.id)
        paused = await until(app, task, State.PAUSED)
        await app.service.resume(LOCAL, task.id)
        ended = await until_end(app, task)
        assert ended.state is State.SUCCEEDED
        begins = [entry for entry in await log_lines(app, task) if entry.message.startswith("Reading")]
        assert await result(app, task) == exported(ledger, "wallet_ledger", "amount", "json")
    assert [entry.fields["row"] for entry in begins if entry.fields] == [1, paused.counts.done + 1]


async def test_cancel_leaves_nothing(ledger: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exports, "PAGE", 25)
    async with running(served(exports, tmp_path)) as app:
        task = await app.start("export", {"export_index": "wallet-ledger"})
        await until_done(app, task, 500)
        assert list(tmp_path.rglob("export.csv"))
        await app.service.cancel(LOCAL, task.id)
        ended = await until_end(app, task)
    assert ended.state is State.CANCELLED
    assert ended.counts.done < ROWS
    assert not list(tmp_path.rglob("export.csv"))


@pytest.mark.parametrize("form", ["csv", "json"])
def test_what_a_try_left_behind_its_last_checkpoint_is_overwritten(ledger: Path, tmp_path: Path, form: str) -> None:
    index, partial = exports.INDEXES["wallet-ledger"], tmp_path / "partial"
    at = exports.begin(None, ledger, index, form, partial)
    at = exports.next_page(ledger, index, form, partial, at).position
    exports.next_page(ledger, index, form, partial, at)  # written, but never saved
    with partial.open("ab") as file:
        file.write(b"half a li")
    resumed = exports.begin(asdict(at), ledger, index, form, partial)
    assert resumed == at
    assert exports.next_page(ledger, index, form, partial, resumed).first == exports.PAGE + 1
    assert written(ledger, "wallet-ledger", form, partial, at)[1] == exported(ledger, index.table, "amount", form)


@pytest.mark.parametrize("left", [None, b"", b"id,booked_at"])
def test_without_its_file_a_try_begins_again(ledger: Path, tmp_path: Path, left: bytes | None) -> None:
    index, partial = exports.INDEXES["users"], tmp_path / "partial"
    fresh = exports.begin(None, ledger, index, "csv", partial)
    saved = asdict(exports.next_page(ledger, index, "csv", partial, fresh).position)
    partial.unlink() if left is None else partial.write_bytes(left)
    assert exports.begin(saved, ledger, index, "csv", partial) == fresh
    assert partial.read_bytes() == b"id,joined_at,name,email,balance,status\r\n"


def test_what_is_booked_meanwhile_is_for_the_next_export(ledger: Path, tmp_path: Path) -> None:
    index, partial = exports.INDEXES["users"], tmp_path / "partial"
    at = exports.begin(None, ledger, index, "csv", partial)
    before = exported(ledger, "users", "balance", "csv")
    with closing(sqlite3.connect(ledger)) as database, database:
        database.execute("insert into users values (2001, '2026-01-01', 'New', 'new@example.org', '1.00', 'active')")
    assert written(ledger, "users", "csv", partial, at)[1] == before


@pytest.mark.parametrize("form", ["csv", "json"])
@pytest.mark.parametrize("gone", ["id % 3 = 0", "id between 100 and 900", "id > 1990", "true"])
def test_gaps_in_the_ids(ledger: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, form: str, gone: str) -> None:
    monkeypatch.setattr(exports, "PAGE", 100)
    with closing(sqlite3.connect(ledger)) as database, database:
        database.execute(f"delete from users where {gone}")
    at, content = written(ledger, "users", form, tmp_path / "partial")
    assert content == exported(ledger, "users", "balance", form)
    assert at.read == at.total


def test_ends_although_its_last_rows_were_deleted(ledger: Path, tmp_path: Path) -> None:
    at = exports.begin(None, ledger, exports.INDEXES["users"], "csv", tmp_path / "partial")
    with closing(sqlite3.connect(ledger)) as database, database:
        database.execute("delete from users where id > 10")
    at = replace(at, row=10)
    assert exports.next_page(ledger, exports.INDEXES["users"], "csv", tmp_path / "partial", at).position.row == at.last


@pytest.mark.parametrize("amount", [None, "", "12", "1e5", "nan", "12,50", " 1.00"])
def test_an_amount_that_is_none_is_an_error(ledger: Path, tmp_path: Path, amount: str | None) -> None:
    with closing(sqlite3.connect(ledger)) as database, database:
        database.execute("update users set balance = ? where id = 5", (amount,))
    index, partial = exports.INDEXES["users"], tmp_path / "partial"
    at = exports.begin(None, ledger, index, "csv", partial)
    assert exports.next_page(ledger, index, "csv", partial, at).unreadable == [5, 997, 1994]


@pytest.mark.parametrize("form", ["csv", "json"])
def test_json_and_csv_when_the_first_page_has_no_valid_row(
    ledger: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, form: str
) -> None:
    monkeypatch.setattr(exports, "PAGE", 10)
    with closing(sqlite3.connect(ledger)) as database, database:
        database.execute("update users set status = 'voided' where id <= 25")
    content = written(ledger, "users", form, tmp_path / "partial")[1]
    assert content == exported(ledger, "users", "balance", form)


@pytest.mark.timeout(400)  # half a minute where nothing else runs
async def test_a_million_rows_killed_after_row_500_000(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """kill -9 after row 500,000: the next try reads row 500,001 first, and the file is right to the byte."""
    ledger = tmp_path / "ledger.db"
    monkeypatch.setenv("MILEPOST_LEDGER", str(ledger))
    app = served(exports, tmp_path)
    async with app.opened():
        task = await app.start("export", {"export_index": "wallet-ledger"})
        worker = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "tests.examples.dying_worker", tmp_path / "milepost.db", "500000"
        )
        assert await asyncio.wait_for(worker.wait(), 180) == -9
        left = await app.service.get(LOCAL, task.id)
        assert (left.state, left.counts.done) == (State.RUNNING, 500_000)
    async with running(app):
        done = [news.task.counts.done async for news in app.service.follow(LOCAL, task.id) if news.task]
        ended = await until_end(app, task, timeout=180)
        content = await result(app, task)
        lines = await log_lines(app, task)
    assert (ended.state, ended.attempt, ended.losses) == (State.SUCCEEDED, 1, 1)
    assert ended.counts == Counts(1_000_000, 1_000_000, failed=1_000, skipped=3_984)
    assert done == sorted(done)
    begins = [entry.fields for entry in lines if entry.message.startswith("Reading from")]
    assert begins == [{"row": 1, "total": 1_000_000}, {"row": 500_001, "total": 1_000_000}]
    totals = [entry.message for entry in lines if entry.message.endswith("rows read")]
    assert totals == [f"{count} rows read" for count in range(50_000, 1_000_001, 50_000)]
    assert content == exported(ledger, "wallet_ledger", "amount", "csv")
