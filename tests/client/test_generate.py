"""The blocking modules are what `scripts/sync` makes of the async ones."""

from pathlib import Path

import pytest

from tests.client import generate


@pytest.mark.parametrize(("source", "target"), list(generate.sources()), ids=lambda path: path.name)
def test_the_blocking_modules_are_up_to_date(source: Path, target: Path) -> None:
    assert target.read_text() == generate.blocking(source), "Run scripts/sync."


def test_what_becomes_of_async_code(tmp_path: Path) -> None:
    source = tmp_path / "x_async.py"
    source.write_text(
        '"""Says async and await."""\n\nimport asyncio\n\n\nclass AsyncAparaviDTC:\n'
        "    async def close(self) -> None:\n        await asyncio.sleep(1)  # await\n"
        "        async for piece in (await self.x()).aiter_raw():\n            return await piece\n"
    )
    assert generate.blocking(source) == (
        '# Made of x_async.py by scripts/sync: change that one.\n"""Says async and await."""\n\nimport time\n\n\n'
        "class AparaviDTC:\n    def close(self) -> None:\n        time.sleep(1)  # await\n"
        "        for piece in (self.x()).iter_raw():\n            return piece\n"
    )


def test_what_is_up_to_date_is_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(generate, "CLIENT", tmp_path)
    (tmp_path / "x_async.py").write_text("async def f() -> None: ...\n")
    generate.write()
    generate.write()
    assert (tmp_path / "x.py").read_text().endswith("def f() -> None: ...\n")
    (tmp_path / "x.py").write_text("def g() -> None: ...\n")
    generate.write()
    assert capsys.readouterr().out == "x.py is made anew.\n" * 2
