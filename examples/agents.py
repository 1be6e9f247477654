"""Three agents that hand their work on: extract the text of documents, analyse it, summarise it.

    milepost serve examples/agents.py --files-root examples/data
    milepost start extract folder=documents
    milepost start analyse source=ID_OF_EXTRACT --depends-on ID_OF_EXTRACT
    milepost start summarise source=ID_OF_ANALYSE --depends-on ID_OF_ANALYSE --watch

All three can be started at once: the later ones are blocked until what they depend on has succeeded, and then read its
result. `start_chain` does so from Python. The summary is made of the documents' own sentences, by plain statistics.
"""

import asyncio
import csv
import io
import math
import os
import re
import stat
from collections import Counter
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import PurePath
from typing import Annotated, Any

import msgspec

from milepost import Context, Folder, Milepost, NamedPath, TaskError
from milepost.task import Task

app = Milepost()

LARGEST = 10_000_000  # bytes of a document: it is held in memory
MOST = 10  # words and keywords told of a document
TELLING = range(6, 41)  # words of a sentence that can stand in a summary

WORD = re.compile(r"[^\W\d_]+(?:['’-][^\W\d_]+)*")  # noqa: RUF001, typographic apostrophes
SENTENCE_END = re.compile(r"(?<=[.!?…])[\"'”’)]*\s+(?=[\"'“‘(]*[A-ZÀ-ÖØ-Þ0-9])|\n\s*\n")  # noqa: RUF001
STOP_WORDS = frozenset(
    WORD.findall(
        "a about after all also an and any are as at be because been but by can could did do does for from had has "
        "have he her his how i if in into is it its like may more most must my no not of on once one only or other our "
        "out over same she should so some such than that the their them then there these they this those through to "
        "too under until up us very was we were what when where which while who will with would you your"
    )
)

Source = Annotated[str, msgspec.Meta(description="Id of the task whose result to work on; name it in depends_on too.")]


async def start_chain(app: Milepost, folder: str, **options: Any) -> list[Task]:
    """Start all three for a folder; `options` (owner, tenant, list_id …) are those of `Milepost.start`."""
    extracted = await app.start("extract", {"folder": folder}, **options)
    analysed = await app.start("analyse", {"source": extracted.id}, depends_on=[extracted.id], **options)
    summarised = await app.start("summarise", {"source": analysed.id}, depends_on=[analysed.id], **options)
    return [extracted, analysed, summarised]


@app.task(retries=2, timeout="1h")
async def extract(ctx: Context, *, folder: NamedPath) -> dict[str, Any]:
    """Extract the text of the documents in a folder: plain text, Markdown, HTML and CSV."""
    try:
        root = ctx.open_folder(folder)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise no_documents(folder) from error
    with root:
        paths = await asyncio.to_thread(list_files, root)
        # Texts are small, so they travel in the checkpoint itself; `exports.py` shows what to do with large output.
        done: dict[str, Any] = ctx.saved or {"after": "", "seen": 0, "failed": 0, "skipped": 0, "documents": []}
        left = sorted(name for name in paths if name > done["after"])
        total = done["seen"] + len(left)
        for name in left:
            try:
                reader = READERS[PurePath(paths[name]).suffix.lower()]
                text = await asyncio.to_thread(read_text, root, paths[name], reader)
                done["documents"].append({"name": name, "text": text})
            except KeyError:
                done["skipped"] += 1
                ctx.log(f"{name} is of no kind that can be read here", "warning", file=name)
            except (OSError, UnicodeError, TaskError) as error:
                done["failed"] += 1
                ctx.log(f"{name} can't be read: {error}", "warning", file=name)
            done |= {"after": name, "seen": done["seen"] + 1}
            ctx.progress(done["seen"], total, message=name, failed=done["failed"], skipped=done["skipped"])
            await ctx.checkpoint(done)
    if not done["documents"]:
        raise no_documents(folder)
    return {"documents": done["documents"]}


@app.task(retries=2, timeout="1h")
async def analyse(ctx: Context, *, source: Source) -> dict[str, Any]:
    """Analyse the texts that `extract` found: lengths, readability, frequent words, and what each of them is about."""
    documents = (await ctx.result_of(source))["documents"]
    measured: list[dict[str, Any]] = ctx.saved or []
    for document in documents[len(measured) :]:
        measured.append({"name": document["name"], **await asyncio.to_thread(measure, document["text"])})
        ctx.progress(len(measured), len(documents), message=document["name"])
        await ctx.checkpoint(measured)
    return {"documents": await asyncio.to_thread(compare, measured)}


@app.task(retries=2, timeout="10m")
async def summarise(ctx: Context, *, source: Source, sentences: int = 3) -> dict[str, Any]:
    """Summarise each text that `analyse` measured, in its most telling sentences."""
    documents = (await ctx.result_of(source))["documents"]
    summaries: list[dict[str, Any]] = ctx.saved or []
    for document in documents[len(summaries) :]:
        text = " ".join(most_telling(document["scored"], sentences))
        summaries.append({"name": document["name"], "keywords": [*document["keywords"]], "summary": text})
        ctx.progress(len(summaries), len(documents), message=document["name"])
        await ctx.checkpoint(summaries)
    return {"summary": "\n\n".join(each["summary"] for each in summaries if each["summary"]), "documents": summaries}


def no_documents(folder: str) -> TaskError:
    return TaskError(f"There are no documents in {folder!r}.", code="no_documents", retry=False)


def list_files(root: Folder) -> dict[str, str]:
    """The files of a folder by name, which is text here; on disk it may be any bytes."""
    paths = [path for path, status in root.walk() if not stat.S_ISDIR(status.st_mode)]
    return {os.fsencode(path).decode(errors="backslashreplace"): path for path in paths}


def read_text(root: Folder, path: str, reader: Callable[[str], str]) -> str:
    """The text of a document. Raises OSError, UnicodeError, TaskError."""
    with root.open(path, encoding="utf-8-sig") as file:
        if os.fstat(file.fileno()).st_size > LARGEST:
            raise OSError(f"It is larger than {LARGEST} bytes.")
        return reader(file.read()).strip()


def text_of_markdown(source: str) -> str:
    source = re.sub(r"^(```|~~~).*?^\1.*?$", "", source, flags=re.MULTILINE | re.DOTALL)
    source = re.sub(r"!?\[([^\]]*)\]\([^)]*\)", r"\1", source)  # links and images
    source = re.sub(r"^[^\S\n]*(#+|>|[-*+]|\d+\.)\s+(.*)$", r"\n\2\n", source, flags=re.MULTILINE)
    return re.sub(r"[*`]+|\b_+|_+\b", "", source)


def text_of_html(source: str) -> str:
    page = Page()
    page.feed(source)
    page.close()
    return re.sub(r"[^\S\n]+", " ", "".join(page.pieces))


def text_of_csv(source: str) -> str:
    return "\n\n".join(", ".join(row) for row in csv.reader(io.StringIO(source, newline="")))


class Page(HTMLParser):
    """The text of an HTML page, with an empty line around each block."""

    INLINE = frozenset(("a", "abbr", "b", "cite", "code", "em", "i", "q", "small", "span", "strong", "sub", "sup", "u"))
    HIDDEN = frozenset(("head", "script", "style", "template"))

    def __init__(self) -> None:
        super().__init__()
        self.pieces: list[str] = []
        self.hidden = 0

    def handle_starttag(self, tag: str, attrs: object) -> None:  # noqa: ARG002
        self.hidden += tag in self.HIDDEN
        if tag not in self.INLINE:
            self.pieces.append("\n\n")

    def handle_endtag(self, tag: str) -> None:
        self.hidden -= tag in self.HIDDEN and self.hidden > 0
        if tag not in self.INLINE:
            self.pieces.append("\n\n")

    def handle_data(self, data: str) -> None:
        if not self.hidden:
            self.pieces.append(data.replace("\n", " "))


READERS: dict[str, Callable[[str], str]] = {".txt": str, ".md": text_of_markdown, ".csv": text_of_csv}
READERS |= dict.fromkeys((".html", ".htm"), text_of_html)


def measure(text: str) -> dict[str, Any]:
    """What can be said of a text by itself; `terms` counts its words but for those that every text has."""
    sentences = [" ".join(piece.split()) for piece in SENTENCE_END.split(text) if WORD.search(piece)]
    words = [word.lower() for word in WORD.findall(text)]
    terms = Counter(word for word in words if word not in STOP_WORDS and len(word) > 1)
    per_sentence = len(words) / max(1, len(sentences))
    per_word = sum(map(syllables, words)) / max(1, len(words))
    return {
        "words": len(words),
        "words_per_sentence": round(per_sentence, 1),
        # Flesch's reading ease for English: 100 is very easy, 0 very hard.
        "reading_ease": round(206.835 - 1.015 * per_sentence - 84.6 * per_word, 1) if words else None,
        "frequent": dict(terms.most_common(MOST)),
        "sentences": sentences,
        "terms": terms,
    }


def syllables(word: str) -> int:
    """How many syllables an English word has, nearly: its groups of vowels, but for a silent e."""
    return max(1, len(re.findall(r"[aeiouyà-ÿ]+", word.removesuffix("e"))))


def compare(measured: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """What can be said of texts beside each other: the words that tell one from the others (tf-idf)."""
    spread = Counter(term for document in measured for term in document["terms"])
    idf = {term: 1 + math.log((1 + len(measured)) / (1 + count)) for term, count in spread.items()}
    for document in measured:
        terms = document.pop("terms")
        most = max(terms.values(), default=1)
        weights = {term: idf[term] * count / most for term, count in terms.items()}
        keywords = sorted(weights, key=lambda term: (-weights[term], term))[:MOST]
        document["keywords"] = {word: round(weights[word], 3) for word in keywords}
        document["scored"] = [(round(score(text, weights), 4), text) for text in document.pop("sentences")]
    return measured


def score(sentence: str, weights: dict[str, float]) -> float:
    """How telling a sentence is: the mean weight of its words; 0 for a heading, or one too long to be read."""
    words = [word.lower() for word in WORD.findall(sentence)]
    return sum(weights.get(word, 0) for word in words) / len(words) if len(words) in TELLING else 0


def most_telling(scored: list[tuple[float, str]], count: int) -> list[str]:
    """The sentences with the highest score, in the order of the text."""
    best = sorted(range(len(scored)), key=lambda place: -scored[place][0])[:count]
    return [scored[place][1] for place in sorted(best) if scored[place][0] > 0]
