"""Makes the ledger that `exports.py` exports: a SQLite database, the same to the last row for everybody.

    python examples/ledger.py ledger.db               # one million entries in the wallet ledger
    python examples/ledger.py ledger.db --rows 5000   # fewer

Real ledgers hold what an export has to cope with, and so does this one: entries that were voided and don't count,
amounts that somebody mistyped, notes with commas, quotes and line breaks.
"""

import argparse
import os
import random
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import closing
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

SEED = 2026
ROWS = 1_000_000
"""Entries of the wallet ledger, unless told otherwise."""

VOID_EVERY = 251
"""Every so manieth row was voided,"""
UNREADABLE_EVERY = 997
"""and the amount of every so manieth is no number. Both are prime, so that a few rows are both."""

USERS, PRODUCTS = 2_000, 500
OPENED = datetime(2024, 1, 1)
"""In UTC."""
NOTES = ("", "", "", "top-up at the till", 'says "keep the change"', "crème brûlée, 2 spoons", "refund\nsee slip 7")
KINDS = ("deposit", "spend", "refund", "reward")
SIZES = ("S", "M", "L", "XL")
STORES = ("Utrecht", "København", "Łódź", "Lyon, Part-Dieu")

SCHEMA = """
create table wallet_ledger (
    id integer primary key, booked_at text, wallet text, kind text, amount text, currency text, status text, note text);
create table transactions (
    id integer primary key, made_at text, user_id integer, store text, amount text, currency text, status text);
create table users (id integer primary key, joined_at text, name text, email text, balance text, status text);
create table vouchers (id integer primary key, issued_at text, user_id integer, code text, value text, status text);
create table products (id integer primary key, name text, price text, status text);
create table product_variants (
    id integer primary key, product_id integer, sku text, name text, price text, status text);
"""

Row = tuple[Any, ...]


def ensure_ledger(path: Path, rows: int = ROWS) -> None:
    """Make the ledger at `path` unless it is there.

    It is written aside and renamed when it is complete, so that nobody ever reads half of it. When two processes do so
    at once, the second replaces the first one's ledger by an equal one.
    """
    if path.exists():
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{path.name}-", dir=path.parent) as aside:
        unfinished = Path(aside) / path.name
        _write(unfinished, rows)
        with unfinished.open("rb+") as file:
            os.fsync(file.fileno())
        unfinished.rename(path)


def _write(path: Path, rows: int) -> None:
    tables = {
        "wallet_ledger": _wallet_ledger(rows),
        "transactions": _transactions(20_000),
        "users": _users(USERS),
        "vouchers": _vouchers(5_000),
        "products": _products(PRODUCTS),
        "product_variants": _product_variants(PRODUCTS * len(SIZES)),
    }
    with closing(sqlite3.connect(path, isolation_level=None)) as database:
        database.executescript("pragma journal_mode = off; pragma synchronous = off;" + SCHEMA)
        database.execute("begin")
        for name, content in tables.items():
            places = ", ".join("?" * len(database.execute(f"pragma table_info({name})").fetchall()))
            database.executemany(f"insert into {name} values ({places})", content)  # noqa: S608, the names are ours
        database.execute("commit")


def _wallet_ledger(rows: int) -> Iterator[Row]:
    chance = random.Random(SEED).random  # its own seed a table, so that one's length doesn't change the others
    for row in range(1, rows + 1):
        booked, wallet, kind = _moment(row * 61), f"W-{int(chance() * 40_000):05d}", KINDS[int(chance() * len(KINDS))]
        note = NOTES[int(chance() * len(NOTES))]
        yield row, booked, wallet, kind, _amount(row, chance() * 240 - 90), "EUR", _status(row, "booked"), note


def _transactions(rows: int) -> Iterator[Row]:
    chance = random.Random(SEED + 1).random
    for row in range(1, rows + 1):
        user, store = 1 + int(chance() * USERS), STORES[int(chance() * len(STORES))]
        yield row, _moment(row * 3_100), user, store, _amount(row, chance() * 180), "EUR", _status(row, "settled")


def _users(rows: int) -> Iterator[Row]:
    chance = random.Random(SEED + 2).random
    for row in range(1, rows + 1):
        balance = _amount(row, chance() * 500)
        yield row, _moment(row * 31_000), f"User {row}", f"user{row}@example.org", balance, _status(row, "active")


def _vouchers(rows: int) -> Iterator[Row]:
    chance = random.Random(SEED + 3).random
    for row in range(1, rows + 1):
        user, code, value = 1 + int(chance() * USERS), f"{int(chance() * 16**8):08X}", 5 * (1 + int(chance() * 5))
        yield row, _moment(row * 12_400), user, code, _amount(row, value), _status(row, "issued")


def _products(rows: int) -> Iterator[Row]:
    chance = random.Random(SEED + 4).random
    for row in range(1, rows + 1):
        yield row, f"Product {row}", _amount(row, 1 + chance() * 99), _status(row, "listed")


def _product_variants(rows: int) -> Iterator[Row]:
    chance = random.Random(SEED + 5).random
    for row in range(1, rows + 1):
        product, size = 1 + (row - 1) // len(SIZES), SIZES[row % len(SIZES)]
        price = _amount(row, 1 + chance() * 99)
        yield row, product, f"P{product:04d}-{size}", f"Size {size}", price, _status(row, "listed")


def _moment(seconds: int) -> str:
    return f"{(OPENED + timedelta(0, seconds)).isoformat()}Z"


def _amount(row: int, amount: float) -> str:
    return f"{amount:.2f}" if row % UNREADABLE_EVERY else f"{amount:.1f}O"


def _status(row: int, status: str) -> str:
    return status if row % VOID_EVERY else "voided"


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Makes the ledger unless it is there.")
    parser.add_argument("path", type=Path)
    parser.add_argument("--rows", type=int, default=ROWS, help="entries of the wallet ledger (default: %(default)s)")
    arguments = parser.parse_args()
    ensure_ledger(arguments.path, arguments.rows)
