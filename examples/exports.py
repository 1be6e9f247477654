"""Exports one index of a shop's ledger as a CSV or JSON file: a million rows, and `kill -9` costs at most one page.

    milepost serve examples/exports.py
    milepost start export export_index=wallet-ledger --watch
    milepost start export export_index=users export_format=json

The ledger is the SQLite database that $MILEPOST_LEDGER names (ledger.db in the current folder, if it names none). The
first export makes it, which takes some seconds.

Voided rows are skipped. Rows whose amount can't be read are left out too, and counted as failed.
"""

import asyncio
import csv
import io
import json
import logging
import os
import re
import sqlite3
import subprocess
import sys
from collections.abc import Sequence
from contextlib import closing
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal, NamedTuple

from milepost import Context, File, Milepost

app = Milepost()

PAGE = 5_000  # rows read, written and saved at a time: few enough to look live, enough to make the syncs cheap
LOG_EVERY = 50_000  # rows
NAMED_ERRORS = 20  # so many unreadable rows are named in the log; a ledger full of them must not fill it
MAKE_LEDGER = [sys.executable, str(Path(__file__).with_name("ledger.py"))]
AMOUNT = re.compile(r"-?\d+\.\d\d")


class Index(NamedTuple):
    """What can be exported: a table, what its files are called, and which of its columns holds money."""

    table: str
    name: str
    money: str


INDEXES = {
    "transactions": Index("transactions", "Transaction", "amount"),
    "users": Index("users", "User", "balance"),
    "vouchers": Index("vouchers", "Voucher", "value"),
    "wallet-ledger": Index("wallet_ledger", "Wallet", "amount"),
    "products": Index("products", "Product", "price"),
    "product-variants": Index("product_variants", "Product_Variant", "price"),
}
IndexName = Literal["transactions", "users", "vouchers", "wallet-ledger", "products", "product-variants"]
Format = Literal["csv", "json"]
TAILS: dict[Format, str] = {"csv": "", "json": "\n]\n"}


@dataclass(frozen=True)
class Position:
    """How far an export has come. This is what a checkpoint saves, so it says only what is synced to the disk."""

    last: int
    """The newest row when the export began: what is booked meanwhile is for the next one."""
    total: int
    bytes: int
    row: int = 0
    success: int = 0
    errors: int = 0
    skips: int = 0

    @property
    def read(self) -> int:
        """Rows read so far."""
        return self.success + self.errors + self.skips


class Page(NamedTuple):
    """What one step did: where it led, its first row, and the rows whose amount could not be read."""

    position: Position
    first: int
    unreadable: list[int]


@app.task(retries=3, timeout="1h")
async def export(ctx: Context, *, export_index: IndexName, export_format: Format = "csv") -> File:
    """Export an index of the ledger as a file."""
    index = INDEXES[export_index]
    # All that reads and writes goes through a thread: one page takes a few dozen milliseconds, and on the event loop
    # every other task of this worker would have to wait for it.
    ledger = await asyncio.to_thread(find_ledger)
    partial = ctx.folder / f"export.{export_format}"
    at = await asyncio.to_thread(begin, ctx.saved, ledger, index, export_format, partial)
    ctx.progress(at.read, at.total, message="Exporting", failed=at.errors, skipped=at.skips)
    began = at
    while at.row < at.last:
        before = at
        at, first, unreadable = await asyncio.to_thread(next_page, ledger, index, export_format, partial, before)
        if before is began:
            ctx.log(f"Reading from row {first}", row=first, total=at.total)
        for row in unreadable[: max(0, NAMED_ERRORS - before.errors)]:
            ctx.log(f"Row {row}: its {index.money} can't be read", "warning", row=row)
        if at.read // LOG_EVERY > before.read // LOG_EVERY:
            ctx.log(f"{at.read} rows read", success=at.success, errors=at.errors, skips=at.skips)
        ctx.progress(at.read, at.total, failed=at.errors, skipped=at.skips)
        await ctx.checkpoint(asdict(at))  # a pause, a cancel and a shutdown take effect here
    await asyncio.to_thread(write_at, partial, at.bytes, TAILS[export_format])
    ctx.log("Export complete", success=at.success, errors=at.errors, skips=at.skips, total=at.total)
    return File(partial, f"{index.name}_Export-{ctx.task.number}.{export_format}")


def find_ledger() -> Path:
    """Where the ledger is, once it is there."""
    ledger = Path(os.environ.get("MILEPOST_LEDGER", "ledger.db")).absolute()
    if not ledger.exists():
        logging.getLogger(__name__).info("Making the ledger %s", ledger)  # shows in the task's log as well
        # In a process of its own: it computes for seconds, and a thread that does so slows the whole worker down.
        subprocess.run([*MAKE_LEDGER, str(ledger)], check=True)  # noqa: S603, no shell, and no word of a caller's
    return ledger


def begin(saved: dict[str, int] | None, ledger: Path, index: Index, form: Format, partial: Path) -> Position:
    """Where the last try stopped; the start of a new file if there was none, or it left its file elsewhere."""
    if saved and partial.exists() and partial.stat().st_size >= saved["bytes"]:
        return Position(**saved)
    with closing(connect(ledger)) as database:
        # The names of tables are this module's own, not a caller's.
        total, last = database.execute(f"select count(*), coalesce(max(id), 0) from {index.table}").fetchone()  # noqa: S608
        columns = [column[0] for column in database.execute(f"select * from {index.table} limit 0").description]  # noqa: S608
    return Position(last, total, bytes=write_at(partial, 0, head(form, columns)))


def next_page(ledger: Path, index: Index, form: Format, partial: Path, at: Position) -> Page:
    """Export the next rows. They are found by the last id, for an offset would be counted out from the first row."""
    with closing(connect(ledger)) as database:  # opened anew for each page: cheap, and no thread shares it
        cursor = database.execute(
            f"select * from {index.table} where id > ? and id <= ? order by id limit ?",  # noqa: S608
            (at.row, at.last, PAGE),
        )
        columns = [column[0] for column in cursor.description]
        rows = cursor.fetchall()
    status, money = columns.index("status"), columns.index(index.money)
    valid = [row for row in rows if row[status] != "voided"]
    good = [row for row in valid if AMOUNT.fullmatch(str(row[money]))]
    unreadable = [row[0] for row in valid if not AMOUNT.fullmatch(str(row[money]))]
    after = replace(
        at,
        row=rows[-1][0] if len(rows) == PAGE else at.last,
        bytes=write_at(partial, at.bytes, body(form, columns, good, first=at.success == 0)),
        success=at.success + len(good),
        errors=at.errors + len(unreadable),
        skips=at.skips + len(rows) - len(valid),
    )
    return Page(after, rows[0][0] if rows else at.last, unreadable)


def connect(ledger: Path) -> sqlite3.Connection:
    """A connection that can't change the ledger."""
    return sqlite3.connect(f"{ledger.as_uri()}?mode=ro", uri=True)


def write_at(partial: Path, start: int, text: str) -> int:
    """Write the file on from byte `start` and sync it; gives its new length.

    What lies behind `start` was written by a try that died before its next checkpoint, and is cut off.
    """
    with partial.open("rb+" if start else "wb") as file:
        file.seek(start)
        file.truncate()
        file.write(text.encode())
        file.flush()
        os.fsync(file.fileno())
        return file.tell()


def head(form: Format, columns: Sequence[str]) -> str:
    """How the file begins."""
    return csv_lines([columns]) if form == "csv" else "["


def body(form: Format, columns: Sequence[str], rows: Sequence[Sequence[Any]], *, first: bool) -> str:
    """Some rows; `first` if no row was written before them."""
    if form == "csv":
        return csv_lines(rows)
    # Money stays text in JSON as well: a float can't hold every amount.
    objects = [json.dumps(dict(zip(columns, row, strict=True)), ensure_ascii=False) for row in rows]
    return ("" if first else ",") + "\n" + ",\n".join(objects) if objects else ""


def csv_lines(rows: Sequence[Sequence[Any]]) -> str:
    """Lines as RFC 4180 has them: they end in CRLF, with quotes where these are needed."""
    text = io.StringIO(newline="")
    csv.writer(text).writerows(rows)
    return text.getvalue()
