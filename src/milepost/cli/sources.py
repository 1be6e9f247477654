"""Which task types are in the files that `serve` and `worker` are given?"""

import sysconfig
import traceback
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

import milepost
from milepost.access.limits import DEFAULT_LIMITS, Limits
from milepost.app import Milepost
from milepost.calling import allowed
from milepost.cli.exits import CommandError, Exit
from milepost.cli.storing import check_secret_key
from milepost.cli.terminal import on_one_line
from milepost.engine.source import load_file
from milepost.http.forwarded import parse_public_url
from milepost.sealing import Sealing

if TYPE_CHECKING:
    from milepost.http.dialect import Dialect

LONGEST_WAY: Final = 10
"""Lines that are shown of how an error came about."""


def load(
    files: Sequence[Path],
    *,
    store: str | None,
    files_folder: Path | None = None,
    files_root: Path | None = None,
    callback_allow: Sequence[str] | None = None,
    public_url: str | None = None,
) -> Milepost:
    """One application with the task types of all these files.

    Its store is the one that is named here, else the one that the files themselves name; its dialects and limits are
    theirs, and so are their keys for secrets and, unless it is said here, the networks that callbacks may call, and
    where clients find the server.
    Raises CommandError, naming the file and, where there is one, the line.
    """
    check_secret_key()
    try:
        _ = None if public_url is None else parse_public_url(public_url)
    except ValueError as error:
        raise _wrong(f"--public-url: {error}") from error
    found: list[tuple[Path, Milepost]] = []
    for file in files:
        for instance in _instances(file):
            if all(instance is not known for _, known in found):
                found.append((file, instance))
    _check_names(found)
    if files_root is not None and not files_root.is_dir():
        raise _wrong(f"--files-root: {files_root} is not a folder.")
    if files_folder is not None and files_folder.exists() and not files_folder.is_dir():
        raise _wrong(f"--files: {files_folder} is not a folder.")
    callback_allow = _callback_allow_of(found) if callback_allow is None else callback_allow
    try:
        allowed(callback_allow)
    except ValueError as error:
        raise _wrong(f"--callback-allow: {error}.") from error
    try:
        where = _store_of(found) if store is None else store
        app = Milepost(
            where,
            files=files_folder,
            files_root=files_root,
            callback_allow=callback_allow,
            public_url=_public_url_of(found) if public_url is None else public_url,
            dialects=_dialects_of(found),
            limits=_limits_of(found),
        )
    except ValueError as error:
        raise _wrong(f"--store: {error}") from error
    app.sealing = _sealing_of(found)
    for _, instance in found:
        app.include(instance)
    return app


def _instances(file: Path) -> list[Milepost]:
    try:
        file.stat()
    except (FileNotFoundError, NotADirectoryError) as error:
        raise _wrong(f"{file}: no such file.{_meant(file)}") from error
    except OSError as error:
        raise _wrong(f"{file} can't be read ({error.strerror}).") from error
    if file.is_dir():
        raise _wrong(f"{file} is a folder; name the Python files in it that have task types.")
    if not file.is_file() or file.suffix != ".py":
        raise _wrong(f"{file} is not a Python file: that is one whose name ends with .py.")
    try:
        module = load_file(file)
    except (Exception, SystemExit) as error:
        raise _wrong(_place(file, error)) from error
    instances = [value for value in vars(module).values() if isinstance(value, Milepost)]
    if not instances:
        raise _wrong(f"{file}: no Milepost in it. It needs `app = Milepost()`, and tasks under `@app.task`.")
    return instances


def _meant(file: Path) -> str:
    """What somebody may have meant who names a module, as other servers want it."""
    module = str(file).partition(":")[0]
    guesses = (Path(f"{module}.py"), Path(f"{module.replace('.', '/')}.py"), Path(module))
    guess = next((guess for guess in guesses if guess.suffix == ".py" and guess.is_file()), None)
    return "" if guess is None else f" Is it {guess}?"


def _place(file: Path, error: BaseException) -> str:
    """Where an error came up when a file was loaded, and which; with the way there, if there is one."""
    if isinstance(error, SyntaxError) and error.filename:
        code = f": {error.text.strip()}" if error.text else ""
        return f"{error.filename}, line {error.lineno}: {error.msg}{on_one_line(code)}"
    what = f"{type(error).__name__}: {on_one_line(str(error))}".removesuffix(": ")
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if _is_theirs(frame.filename)]
    if not frames:
        return f"{file}: {what}"
    way = "".join(f"\n  {_step(file, frame)}" for frame in frames[-LONGEST_WAY:]) if len(frames) > 1 else ""
    return f"{_named(file, frames[-1].filename)}, line {frames[-1].lineno}: {what}{way}"


def _is_theirs(filename: str) -> bool:
    """Whether that is code of whoever wrote the file: neither Milepost's nor a library's."""
    return not filename.startswith("<") and not any(Path(filename).is_relative_to(place) for place in _NOT_THEIRS)


_NOT_THEIRS: Final = (
    Path(milepost.__file__).parent,
    *(Path(sysconfig.get_path(name)) for name in ("stdlib", "platstdlib", "purelib", "platlib")),
)


def _step(file: Path, frame: traceback.FrameSummary) -> str:
    within = "" if frame.name == "<module>" else f", in {frame.name}"
    return f"{_named(file, frame.filename)}, line {frame.lineno}{within}: {on_one_line(frame.line or '')}"


def _named(file: Path, filename: str) -> str:
    """A file as it was given, the others in full."""
    return str(file) if filename == str(file.resolve()) else filename


def _check_names(found: Iterable[tuple[Path, Milepost]]) -> None:
    """Two files may not have different functions of one name."""
    places: dict[str, tuple[Path, object]] = {}
    for file, instance in found:
        for name, task_type in instance.types.items():
            taken_by, function = places.setdefault(name, (file, task_type.function))
            if function is not task_type.function:
                raise _wrong(f"{taken_by} and {file} both have a task type {name!r}; give one of them another name.")


def _store_of(found: Iterable[tuple[Path, Milepost]]) -> Path:
    """The store that these instances were made with."""
    stores = {instance.path for _, instance in found}
    if len(stores) > 1:
        raise _wrong(f"The files name several stores ({', '.join(map(str, sorted(stores)))}); say which with --store.")
    return stores.pop()


def _callback_allow_of(found: Iterable[tuple[Path, Milepost]]) -> Sequence[str]:
    """The networks that these instances may call."""
    return [network for _, instance in found for network in instance.callback_allow]


def _public_url_of(found: Iterable[tuple[Path, Milepost]]) -> str | None:
    """Where these instances say that clients find the server."""
    urls = {instance.public_url: file for file, instance in found if instance.public_url is not None}
    if len(urls) > 1:
        raise _wrong(f"The files {' and '.join(map(str, urls.values()))} name different public URLs; say --public-url.")
    return next(iter(urls), None)


def _sealing_of(found: Iterable[tuple[Path, Milepost]]) -> Sealing:
    """What seals secrets with the keys that these instances were made with."""
    sealings = [instance.sealing for _, instance in found if instance.sealing]
    if any(sealing != sealings[0] for sealing in sealings):
        raise _wrong("The files name several secret keys; let one of them do it, or MILEPOST_SECRET_KEY.")
    return sealings[0] if sealings else Sealing()


def _dialects_of(found: Iterable[tuple[Path, Milepost]]) -> "Sequence[Dialect] | None":
    """The dialects that one of these instances is to be served in."""
    files = {file: instance.dialects for file, instance in found if instance.dialects is not None}
    if len(files) > 1:
        raise _wrong(
            f"The files {' and '.join(map(str, files))} each name the dialects to serve; let one of them do it."
        )
    return next(iter(files.values()), None)


def _limits_of(found: Iterable[tuple[Path, Milepost]]) -> Limits:
    """The limits that one of these instances sets."""
    files = {instance.limits: file for file, instance in found if instance.limits != DEFAULT_LIMITS}
    if len(files) > 1:
        raise _wrong(f"The files {' and '.join(map(str, files.values()))} set different limits; let one of them do it.")
    return next(iter(files), DEFAULT_LIMITS)


def _wrong(message: str) -> CommandError:
    return CommandError(message, Exit.USAGE)
