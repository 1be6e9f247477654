"""Do the agents hand their work on, and are their figures right?"""

import math
import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from milepost import Folder
from milepost.access.principal import LOCAL
from milepost.task import Counts, State
from tests.examples.running import DATA, example, log_lines, running, served, until, until_done, until_end, value

agents = example("agents")


async def test_the_chain_from_documents_to_their_summary(tmp_path: Path) -> None:
    async with running(served(agents, tmp_path)) as app:
        started = await agents.start_chain(app, "documents", list_id="reports")
        assert [task.type for task in started] == ["extract", "analyse", "summarise"]
        assert {task.list_id for task in started} == {"reports"}
        assert [task.depends_on for task in started] == [(), (started[0].id,), (started[1].id,)]
        ended = [await until_end(app, task) for task in started]
        assert [task.state for task in ended] == [State.SUCCEEDED] * 3, [task.failure for task in ended]
        extracted, analysed, summarised = [await value(app, task) for task in started]
    names = ["beekeeping.md", "harvest.csv", "letters/to-the-harbour-office.txt", "night-train.txt", "tide-mill.html"]
    assert [document["name"] for document in extracted["documents"]] == names
    assert all(task.counts == Counts(5, 5) for task in ended)
    by_name = {document["name"]: document for document in analysed["documents"]}
    assert list(by_name["beekeeping.md"]["keywords"])[:2] == ["hive", "bees"]
    assert list(by_name["night-train.txt"]["keywords"])[:2] == ["train", "conductor"]
    assert by_name["tide-mill.html"]["frequent"]["pond"] == 4
    assert 60 < by_name["night-train.txt"]["reading_ease"] < 100
    summaries = {document["name"]: document["summary"] for document in summarised["documents"]}
    assert summaries["night-train.txt"].startswith("The night train to the coast leaves at ten past eleven")
    for name, summary in summaries.items():
        text = " ".join(next(each["text"] for each in extracted["documents"] if each["name"] == name).split())
        assert summary
        assert all(sentence in text for sentence in agents.SENTENCE_END.split(summary))
    assert summarised["summary"] == "\n\n".join(summaries.values())


async def test_what_cannot_be_read_is_counted_and_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(agents, "LARGEST", 5_000)
    folder = tmp_path / "root" / "documents"
    shutil.copytree(DATA / "documents", folder)
    (folder / "latin.txt").write_bytes(b"caf\xe9")
    (folder / os.fsdecode(b"\xe9.txt")).write_text("named in another encoding")
    (folder / "picture.png").write_bytes(b"\x89PNG")
    (folder / "dangling.txt").symlink_to("nowhere")
    (folder / "out.txt").symlink_to("/etc/hostname")
    (folder / "large.txt").write_text("word " * 1_001)
    async with running(served(agents, tmp_path, folder.parent)) as app:
        task = await until_end(app, await app.start("extract", {"folder": "documents"}))
        assert task.state is State.SUCCEEDED, task.failure
        documents = (await value(app, task))["documents"]
        lines = await log_lines(app, task)
    assert task.counts == Counts(11, 11, failed=4, skipped=1)
    named = {line.fields["file"] for line in lines if line.fields}
    assert named == {"latin.txt", "picture.png", "dangling.txt", "out.txt", "large.txt"}
    assert r"\xe9.txt" in [document["name"] for document in documents]


@pytest.mark.parametrize(("folder", "code"), [("elsewhere", "no_documents"), ("/", "path_refused")])
async def test_nothing_to_extract_fails_at_once_with_all_that_depends_on_it(
    tmp_path: Path, folder: str, code: str
) -> None:
    async with running(served(agents, tmp_path)) as app:
        extract, analyse, summarise = [await until_end(app, task) for task in await agents.start_chain(app, folder)]
    assert extract.failure is not None
    assert (extract.state, extract.attempt, extract.failure.code) == (State.FAILED, 1, code)
    for task in (analyse, summarise):
        assert task.failure is not None
        assert task.failure.code == "dependency_failed"


async def test_extract_is_paused_and_resumed(tmp_path: Path) -> None:
    folder = tmp_path / "root" / "documents"
    folder.mkdir(parents=True)
    for number in range(200):
        (folder / f"{number:03}.txt").write_text(f"This is document number {number}.")
    async with running(served(agents, tmp_path, folder.parent)) as app:
        task = await app.start("extract", {"folder": "documents"})
        await until_done(app, task, 10)
        await app.service.pause(LOCAL, task.id)
        paused = await until(app, task, State.PAUSED)
        assert paused.counts.done < 200
        await app.service.resume(LOCAL, task.id)
        ended = await until_end(app, task)
        documents = (await value(app, task))["documents"]
    assert ended.counts == Counts(200, 200)
    assert [document["name"] for document in documents] == [f"{number:03}.txt" for number in range(200)]


def test_markdown() -> None:
    source = (
        "# Title\n\nSome *emphasis* and `code`, a [link](http://x.example) and ![an image](i.png).\n"
        "- one\n- two\n1. three\n> four\n\n```python\nhidden = 1\n```\n\nsnake_case stays, _this_ does not.\n"
    )
    text = agents.text_of_markdown(source)
    assert " ".join(text.split()) == (
        "Title Some emphasis and code, a link and an image. one two three four snake_case stays, this does not."
    )
    assert agents.measure(text)["sentences"][0] == "Title"


def test_html() -> None:
    source = (
        "<html><head><title>T</title><style>p {}</style></head><body><h1>One</h1><p>Two &amp; <b>th</b>ree\nfour"
        "<br>five</p><script>no()</script><li>six<p>seven</body></style>"
    )
    assert agents.text_of_html(source).split("\n\n") != []
    assert [part.strip() for part in agents.text_of_html(source).split("\n\n") if part.strip()] == [
        "One",
        "Two & three four",
        "five",
        "six",
        "seven",
    ]


def test_csv() -> None:
    assert agents.text_of_csv('a,b\r\n"c, d","e\nf"\r\n') == "a, b\n\nc, d, e\nf"


def test_a_byte_order_mark_is_no_text(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes("\ufeffhello".encode())
    with Folder(os.open(tmp_path, os.O_RDONLY), "root") as folder:
        assert agents.read_text(folder, "a.txt", str) == "hello"


@pytest.mark.parametrize(
    ("word", "count"),
    [
        ("a", 1),
        ("cat", 1),
        ("table", 1),
        ("little", 1),
        ("river", 2),
        ("idea", 2),
        ("banana", 3),
        ("rhythm", 1),
        ("the", 1),
    ],
)
def test_syllables(word: str, count: int) -> None:
    assert agents.syllables(word) == count


def test_measure() -> None:
    measured = agents.measure(
        'The cat sat on the mat. "It sat," she said! Did 3.5 mice run? Yes\n\nA heading\n\nThe cat ran.'
    )
    assert measured["sentences"] == [
        "The cat sat on the mat.",
        '"It sat," she said!',
        "Did 3.5 mice run?",
        "Yes",
        "A heading",
        "The cat ran.",
    ]
    assert measured["words"] == 19
    assert measured["words_per_sentence"] == 3.2
    assert measured["terms"] == {
        "cat": 2,
        "sat": 2,
        "mat": 1,
        "said": 1,
        "mice": 1,
        "run": 1,
        "yes": 1,
        "heading": 1,
        "ran": 1,
    }
    syllables = 6 + 4 + 3 + 1 + 3 + 3  # sentence by sentence; "mice" is one, "3.5" none
    assert measured["reading_ease"] == round(206.835 - 1.015 * 19 / 6 - 84.6 * syllables / 19, 1)


def test_measure_of_nothing() -> None:
    assert agents.measure(" 12 … ") == {
        "words": 0,
        "words_per_sentence": 0,
        "reading_ease": None,
        "frequent": {},
        "sentences": [],
        "terms": {},
    }


def test_keywords_tell_a_text_from_the_others() -> None:
    texts = ["apple apple train", "train train bridge", ""]
    compared = agents.compare([{"name": text, **agents.measure(text)} for text in texts])
    assert compared[0]["keywords"] == {
        "apple": round(1 + math.log(4 / 2), 3),
        "train": round((1 + math.log(4 / 3)) / 2, 3),
    }
    assert list(compared[1]["keywords"]) == ["train", "bridge"]
    assert compared[2]["keywords"] == {}
    assert not [document for document in compared if "terms" in document or "sentences" in document]


def test_score_is_the_mean_weight_of_a_sentence_that_can_stand_alone() -> None:
    weights = {"bees": 3.0, "honey": 1.5}
    assert agents.score("Bees make honey and nothing else.", weights) == 4.5 / 6
    assert agents.score("Bees make honey.", weights) == 0
    assert agents.score("bees " * 41, weights) == 0


def test_most_telling_sentences_stay_in_order() -> None:
    scored: list[Any] = [(0.2, "a"), (0.9, "b"), (0, "c"), (0.5, "d")]
    assert agents.most_telling(scored, 2) == ["b", "d"]
    assert agents.most_telling(scored, 9) == ["a", "b", "d"]
