"""Does a pipeline tell the truth about every file, and carry on past those that it can't read?"""

import hashlib
import json
import os
import shutil
from pathlib import Path
from typing import IO, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from milepost import TaskError
from milepost.access.principal import LOCAL
from milepost.errors import Invalid
from milepost.task import Counts, State
from tests.examples.running import DATA, example, log_lines, running, served, until, until_done, until_end, value

pipeline = example("pipeline")


def component(provider: str = "file", **fields: Any) -> Any:
    return pipeline.Component(provider=provider, **({"config": {"path": "documents"}} | fields))


def facts(path: Path) -> dict[str, Any]:
    """What should be found in a file, worked out all at once."""
    content = path.read_bytes()
    return {
        "size": len(content),
        "characters": len(content.decode(errors="replace")),
        "sha256": hashlib.sha256(content).hexdigest(),
        "lines": content.count(b"\n"),
        "words": len(content.split()),
    }


async def run(folder: Path, files_root: Path, input: dict[str, Any]) -> tuple[Any, Any, list[Any]]:
    """The ended task, its result if it has one, its log."""
    async with running(served(pipeline, folder, files_root)) as app:
        task = await until_end(app, await app.start("pipeline", input))
        return task, await value(app, task) if task.result else None, await log_lines(app, task)


async def test_the_sample_pipeline(tmp_path: Path) -> None:
    task, found, _ = await run(tmp_path, DATA, json.loads((DATA / "pipeline.json").read_text()))
    assert task.state is State.SUCCEEDED, task.failure
    documents = sorted(path for path in (DATA / "documents").rglob("*") if path.is_file())
    assert len(documents) == 5
    assert found["files"] == [{"name": str(path.relative_to(DATA / "documents")), **facts(path)} for path in documents]
    assert found["totals"] == {
        "files": 5,
        "failed": 0,
        **{fact: sum(facts(path)[fact] for path in documents) for fact in ("size", "characters", "lines", "words")},
    }
    assert task.counts == Counts(5, 5)


async def test_components_without_id_source_or_steps(tmp_path: Path) -> None:
    """The published page's own sample: one component with a name, an absolute path, and nothing else."""
    source = {"name": "source", "provider": "file", "config": {"path": str(DATA / "documents" / "letters")}}
    task, found, _ = await run(tmp_path, DATA, {"components": [source]})
    name = "to-the-harbour-office.txt"
    assert found["files"] == [{"name": name, **facts(DATA / "documents" / "letters" / name)}]
    assert task.counts == Counts(1, 1)


async def test_what_cannot_be_read_is_counted_and_named(tmp_path: Path) -> None:
    root = tmp_path / "root"
    shutil.copytree(DATA / "documents", root / "documents")
    secret = tmp_path / "secret.txt"
    secret.write_text("not for you")
    (root / "documents" / "out").symlink_to(secret)
    (root / "documents" / "dangling").symlink_to("nowhere")
    (root / "documents" / "within").symlink_to("harvest.csv")
    (root / "documents" / "folder").symlink_to("letters")
    os.mkfifo(root / "documents" / "pipe")
    (root / "documents" / os.fsdecode(b"caf\xe9.txt")).write_bytes(b"caf\xe9")
    task, found, log = await run(
        tmp_path, root, {"components": [{"provider": "file", "config": {"path": "documents"}}]}
    )
    assert task.state is State.SUCCEEDED
    assert task.counts == Counts(11, 11, failed=5)
    by_name = {file.pop("name"): file for file in found["files"]}
    failed = {name for name, file in by_name.items() if "error" in file}
    assert failed == {"out", "dangling", "within", "folder", "pipe"}
    assert {line.fields["file"] for line in log if line.level == "warning"} == failed
    assert by_name[r"caf\xe9.txt"]["characters"] == 4
    assert found["totals"]["failed"] == 5


@pytest.mark.parametrize(
    ("input", "code", "message"),
    [
        ([{"provider": "file", "config": {"path": "elsewhere"}}], "no_folder", "no folder 'elsewhere'"),
        ([{"provider": "file", "config": {"path": "../.."}}], "path_refused", "/input/components/0/config/path: "),
        ([{"provider": "file", "id": "f", "config": {"path": 1}}], "invalid_pipeline", "component f has a config.path"),
    ],
)
async def test_what_it_refuses_fails_at_once(tmp_path: Path, input: list[Any], code: str, message: str) -> None:
    task, _, _ = await run(tmp_path, DATA, {"components": input})
    assert (task.state, task.attempt) == (State.FAILED, 1)
    assert task.failure is not None
    assert task.failure.code == code
    assert message in task.failure.message


async def test_a_folder_that_nobody_names_is_all_that_there_is(tmp_path: Path) -> None:
    (tmp_path / "files").mkdir()
    (tmp_path / "files" / "a.txt").write_text("a b")
    task, found, _ = await run(tmp_path, tmp_path / "files", {"components": [{"provider": "file"}]})
    assert task.state is State.SUCCEEDED
    assert [file["name"] for file in found["files"]] == ["a.txt"]


async def test_a_component_without_a_provider_that_there_is_is_refused_at_the_start(tmp_path: Path) -> None:
    async with running(served(pipeline, tmp_path)) as app:
        for provider in ({}, {"provider": "ocr"}, {"provider": None}):
            with pytest.raises(Invalid, match="/input/components/0/provider"):
                await app.start("pipeline", {"components": [{"config": {"path": "documents"}, **provider}]})


async def deliver(folder: Path, files: dict[str, bytes], *steps: dict[str, Any]) -> tuple[Any, Any, list[Any]]:
    """The ended child of a standing pipeline, its result, its log."""
    paths = []
    for number, (name, content) in enumerate(files.items()):
        (folder / str(number)).mkdir()
        paths.append(folder / str(number) / name.rpartition("/")[2])
        paths[-1].write_bytes(content)
    async with running(served(pipeline, folder)) as app:
        components = [{"provider": "webhook", "id": "in"}, *steps]
        standing = await app.start(
            "pipeline", {"components": components, "source": "in"}, runner="external", state=State.RUNNING
        )
        task = await until_end(app, await app.deliver(standing, files=paths))
        assert (await app.service.get(LOCAL, standing.id)).counts == Counts(1, 1)
        return task, await value(app, task), await log_lines(app, task)


async def test_delivered_files_are_examined_in_their_order_with_their_text(tmp_path: Path) -> None:
    files = {"b.txt": b"two words\n", "1/a.txt": "\u20ac".encode(), "2/a.txt": b"", "\u00e9.bin": b"\xff\x00"}
    task, found, _ = await deliver(tmp_path, files)
    assert (task.state, task.counts) == (State.SUCCEEDED, Counts(4, 4))
    assert found["files"] == [
        {
            "name": name.rpartition("/")[2],
            **facts(tmp_path / str(number) / name.rpartition("/")[2]),
            "text": content.decode(errors="replace"),
        }
        for number, (name, content) in enumerate(files.items())
    ]
    assert found["totals"]["files"] == 4
    assert "text" not in found["totals"]


async def test_of_a_long_text_the_beginning_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pipeline, "TEXT", 5)
    monkeypatch.setattr(pipeline, "PIECE", 4)
    _, found, _ = await deliver(tmp_path, {"a.txt": "\u20ac12345678".encode()}, {"provider": "text"})
    assert found["files"] == [{"name": "a.txt", "size": 11, "characters": 9, "text": "\u20ac1234"}]


async def test_a_delivery_without_files_finds_nothing(tmp_path: Path) -> None:
    _, found, _ = await deliver(tmp_path, {}, {"provider": "hash"})
    assert found == {"files": [], "totals": {"files": 0, "failed": 0}}


@pytest.mark.parametrize("lost", [False, True])
async def test_pause_and_resume(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lost: bool) -> None:
    """It carries on after the last file; from the beginning if its report is gone."""
    monkeypatch.setattr(pipeline, "CHECKPOINT_EVERY", 0)
    examined: list[str] = []
    examine = pipeline.examine

    def noted(file: IO[bytes], *rest: Any) -> Any:
        examined.append(file.name)
        return examine(file, *rest)

    monkeypatch.setattr(pipeline, "examine", noted)
    files = tmp_path / "root" / "files"
    files.mkdir(parents=True)
    for number in range(300):
        (files / f"{number:03}.txt").write_text("one two\n" * (number + 1))
    async with running(served(pipeline, tmp_path, files.parent)) as app:
        task = await app.start("pipeline", {"components": [{"provider": "file", "config": {"path": "files"}}]})
        await until_done(app, task, 20)
        await app.service.pause(LOCAL, task.id)
        paused = await until(app, task, State.PAUSED)
        assert 20 <= paused.counts.done < 300
        if lost:
            shutil.rmtree(next(tmp_path.rglob("report.jsonl")).parent)
        seen = len(examined)
        await app.service.resume(LOCAL, task.id)
        ended = await until_end(app, task)
        found = await value(app, task)
    assert ended.counts == Counts(300, 300)
    assert [file["lines"] for file in found["files"]] == list(range(1, 301))
    # The file that it was reading when it was paused is read again, none before.
    assert examined[seen] in (["000.txt"] if lost else [f"{seen - 1:03}.txt", f"{seen:03}.txt"])


async def test_cancel_takes_effect_within_a_large_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pipeline, "PIECE", 64)
    files = tmp_path / "root" / "files"
    files.mkdir(parents=True)
    with (files / "large").open("wb") as file:
        file.truncate(1 << 30)
    async with running(served(pipeline, tmp_path, files.parent)) as app:
        task = await app.start("pipeline", {"components": [{"provider": "file", "config": {"path": "files"}}]})
        await until(app, task, State.RUNNING)
        await app.service.cancel(LOCAL, task.id)
        ended = await until_end(app, task)
    assert (ended.state, ended.counts.done) == (State.CANCELLED, 0)


def test_steps_are_those_that_the_pipeline_names() -> None:
    file, webhook = component(id="f"), component("webhook", config={})
    assert pipeline.plan([file], None) == (file, ["size", "text", "hash", "count"])
    assert pipeline.plan([component("hash"), file, component("hash", id="h")], "f") == (file, ["size", "hash"])
    assert pipeline.plan([file, webhook], "f") == (file, ["size", "text", "hash", "count"])
    assert pipeline.plan([webhook], None) == (webhook, ["size", "shown_text", "hash", "count"])
    assert pipeline.plan([webhook, component("count")], None) == (webhook, ["size", "count"])


@pytest.mark.parametrize(
    ("components", "source", "message"),
    [
        ([component(), component("webhook")], None, "The component source has to be the one component"),
        (
            [component(), component("hash", id="h", input=[{"from": "x"}])],
            None,
            "The component h takes its input from 'x'",
        ),
        ([component(), component("hash", id="h", input=[{}])], None, "The component h takes its input from None"),
        ([component(id="a"), component("hash", id="b")], "b", "The component b has to be the one component"),
        ([component(id="a")], "b", "The component b has to be the one component"),
        ([component("hash")], None, "The component source has to be the one component"),
        ([], None, "The component source has to be the one component"),
        ([component(id="a"), component("hash", id="a")], None, "Two components have the same id"),
        ([component(id="a", config={"path": 1})], None, "The component a has a config.path"),
    ],
)
def test_a_wrong_pipeline_names_the_component(components: list[Any], source: str | None, message: str) -> None:
    with pytest.raises(TaskError, match=message) as raised:
        pipeline.plan(components, source)
    assert (raised.value.code, raised.value.retry) == ("invalid_pipeline", False)


@given(st.lists(st.binary(min_size=1, max_size=8) | st.sampled_from([b"a b\n", b" ", b"\n", "é€😀".encode(), b"\xe2"])))
def test_pieces_make_no_difference(pieces: list[bytes]) -> None:
    steps = [kind() for kind in pipeline.STEPS.values()]
    for piece in pieces:
        for step in steps:
            step.take(piece)
    whole = b"".join(pieces)
    found = {fact: value for step in steps for fact, value in step.facts().items()}
    assert found == {
        "size": len(whole),
        "characters": len(whole.decode(errors="replace")),
        "text": whole.decode(errors="replace"),
        "sha256": hashlib.sha256(whole).hexdigest(),
        "lines": whole.count(b"\n"),
        "words": len(whole.split()),
    }
