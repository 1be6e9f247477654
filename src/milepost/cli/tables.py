"""How do many tasks, or one with all that is known of it, look in columns?"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from rich.table import Table
from rich.text import Text

from milepost.cli import wording
from milepost.cli.records import Record, TypeRecord
from milepost.cli.terminal import console, is_terminal, on_one_line, say


def say_table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Print rows: as a table for a person, else as lines with tabs between the cells, and no heads."""
    if not is_terminal():
        for row in rows:
            say("\t".join(map(on_one_line, row)))
        return
    table = Table(box=None, pad_edge=False, header_style="bold")
    for index, head in enumerate(heads):
        # The first column is what people copy; the last may take what is left.
        table.add_column(head, no_wrap=index < len(heads) - 1, overflow="fold" if index == 0 else "ellipsis")
    for row in rows:
        table.add_row(*(Text(on_one_line(cell)) for cell in row))
    console().print(table, soft_wrap=False)


def say_fields(fields: Mapping[str, str]) -> None:
    """Print names and values, one a line; empty ones are left out."""
    width = max(map(len, fields))
    for name, value in fields.items():
        if value:
            say(f"{name:<{width}}  {value}")


TASK_HEADS = ("ID", "TYPE", "STATE", "PROGRESS", "CREATED", "TITLE")


def task_row(record: Record) -> Sequence[str]:
    """A task in a list."""
    return (
        record.id,
        record.type,
        wording.state(record),
        wording.progress(record),
        wording.moment(record.created_at),
        record.title or record.message or "",
    )


TYPE_HEADS = ("TYPE", "INPUT", "WHAT IT DOES")


def type_row(type_: TypeRecord) -> Sequence[str]:
    """A task type in a list."""
    paused = "(paused) " if type_.paused else ""
    return type_.name, " ".join(parameters(type_.schema)), paused + type_.description.partition("\n")[0]


def parameters(schema: Mapping[str, Any]) -> Iterable[str]:
    """The input's fields as they can be typed: with their default, or in capitals where they have none."""
    required = schema.get("required", ())
    for name, field in schema.get("properties", {}).items():
        text = f"{name}={wording.value(field['default']) if 'default' in field else name.upper()}"
        yield text if name in required else f"[{text}]"
