import itertools
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator

import pytest

from milepost import __version__
from milepost.cli.exits import Exit
from milepost.cli.main import app
from tests.cli.conftest import Command
from tests.cli.processes import environment
from tests.cli.processes import milepost as run

COMMANDS = [command.name or getattr(command.callback, "__name__", "") for command in app.registered_commands]
GROUPS = {group.name: group.typer_instance for group in app.registered_groups}
BENEATH = [
    f"{name} {command.name or getattr(command.callback, '__name__', '')}"
    for name, group in GROUPS.items()
    if group is not None
    for command in group.registered_commands
]
ALL = (
    "serve worker start deliver watch get list logs result types cancel pause resume retry rm migrate".split()  # noqa: SIM905
)


def test_there_are_these_commands() -> None:
    assert COMMANDS == ALL
    assert BENEATH == ["key add", "key list", "key rotate", "key revoke", "webhook secret"]


def test_version(command: Command) -> None:
    assert command("--version") == (0, f"milepost {__version__}\n", "")


def test_without_a_command_there_is_help(command: Command) -> None:
    outcome = command()
    assert outcome.code == 0
    assert outcome.out.startswith("Usage: milepost [OPTIONS] COMMAND [ARGS]...")
    assert outcome == command("--help")


def test_there_is_help_by_its_short_name_too(command: Command) -> None:
    assert command("-h") == command("--help")
    assert command("list", "-h") == command("list", "--help")


def test_what_commands_are_for_can_be_read_to_the_end(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    listed = command("--help").out.partition("Commands:\n")[2].partition("\n\n")[0]
    assert len(listed.splitlines()) == len(COMMANDS) + len(GROUPS)
    assert "..." not in listed
    beneath = [command(name, "--help").out.partition("Commands:\n")[2].partition("\n\n")[0] for name in GROUPS]
    assert sum(len(each.splitlines()) for each in beneath) == len(BENEATH)
    assert "..." not in "".join(beneath)


def options(text: str) -> set[str]:
    """The options that a help text tells of."""
    return set(re.findall(r"(?:^|[ ,])(--?[a-z][a-z-]*)", text))


def commands(line: str) -> Iterator[list[str]]:
    """The words after `milepost`, wherever it stands between the pipes of a line for a shell."""
    tokens = list(shlex.shlex(line, posix=True, punctuation_chars=True))
    for is_pipe, words in itertools.groupby(tokens, key=lambda token: token == "|"):
        rest = list(itertools.dropwhile(lambda word: word != "milepost", words))
        if not is_pipe and rest:
            yield rest[1:]


@pytest.mark.parametrize("name", [*COMMANDS, *BENEATH])
def test_help_has_examples_and_each_of_their_options_is_there(name: str, command: Command) -> None:
    outcome = command(*name.split(), "--help")
    assert outcome.code == 0
    usage, found, examples = outcome.out.partition("  Examples:\n")
    assert found
    lines = [line.strip() for line in examples.splitlines() if line.strip()]
    assert lines
    known = {
        other: options(command(*other.split(), "--help").out.partition("  Examples:")[0])
        for other in (*COMMANDS, *BENEATH)
    }
    assert any(f"milepost {name} " in f"{line} " for line in lines)
    for line in lines:
        for words in commands(line):
            said = " ".join(words[:2] if words[0] in GROUPS else words[:1])
            assert {word for word in words if word.startswith("-")} <= known[said]
    assert "  -h, --help" in usage


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["strat"], "milepost: No such command 'strat'. Did you mean 'start'? See `milepost --help`.\n"),
        (
            ["serve", "x", "--log-level", "loud"],
            (
                "milepost: Invalid value for '--log-level' (env var: 'MILEPOST_LOG_LEVEL'): "
                "'loud' is not one of 'debug', 'info', 'warning', 'error'. See `milepost serve --help`.\n"
            ),
        ),
        (["nope"], "milepost: No such command 'nope'. See `milepost --help`.\n"),
        (["start"], "milepost: Missing argument 'TYPE'. See `milepost start --help`.\n"),
        (["start", "x", "--zzz"], "milepost: No such option: --zzz. See `milepost start --help`.\n"),
    ],
)
def test_wrong_usage_is_one_line(arguments: list[str], message: str, command: Command) -> None:
    assert command(*arguments) == (Exit.USAGE, "", message)


@pytest.mark.parametrize(
    "arguments", [["list", "--limit", "0"], ["list", "--state", "nowhere"], ["start", "x", "--priority", "high"]]
)
def test_a_wrong_value_names_its_option(arguments: list[str], command: Command) -> None:
    outcome = command(*arguments)
    assert outcome.code == Exit.USAGE
    assert outcome.err.startswith(f"milepost: Invalid value for '{arguments[-2]}': ")
    assert outcome.err.count("\n") == 1


@pytest.mark.parametrize(
    "arguments",
    [
        ["serve", "x.py", "--files", ""],
        ["worker", "x.py", "--files-root", ""],
        ["result", "x", "-o", ""],
        ["serve", ""],
    ],
)
def test_an_empty_path_is_not_the_current_folder(arguments: list[str], command: Command) -> None:
    outcome = command(*arguments)
    assert outcome.code == Exit.USAGE
    assert "an empty path; write . for the current folder." in outcome.err
    assert outcome.err.count("\n") == 1


def test_options_come_from_variables_too(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MILEPOST_URL", "nonsense")
    assert "'nonsense' is not a URL" in command("list").err
    assert "'else' is not a URL" in command("list", "--url", "else").err


def test_without_the_extra_it_says_what_to_install() -> None:
    code = "import sys; sys.modules['rich'] = None; from milepost.cli import main; main()"
    outcome = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (outcome.returncode, outcome.stdout) == (2, "")
    assert outcome.stderr == "milepost: rich is not installed. Install it with: pip install 'milepost[cli]'\n"


def test_other_modules_that_are_missing_are_told_as_they_are() -> None:
    code = "import sys; sys.modules['milepost.cli.main'] = None; from milepost.cli import main; main()"
    outcome = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert "ModuleNotFoundError: import of milepost.cli.main halted" in outcome.stderr


def test_the_entry_point_is_installed() -> None:
    outcome = subprocess.run(
        [f"{sys.prefix}/bin/milepost", "--version"], capture_output=True, text=True, env=environment(), check=False
    )
    assert outcome.stdout == f"milepost {__version__}\n"
    assert run("--version").stdout == outcome.stdout


def test_the_end_of_a_pipe_is_no_error() -> None:
    process = subprocess.run(
        f"{sys.executable} -m milepost --help | head -c 1", shell=True, capture_output=True, text=True, check=False
    )
    assert (process.stdout, process.stderr) == ("U", "")


@pytest.mark.parametrize(
    "arguments",
    [
        ["start", "greet", "name=\udcff"],
        ["start", "greet", "--title", "a\udcff"],
        ["start", "greet", "--input", '{"name": "\udcff"}'],
        ["start", "greet", "--metadata", '{"name": "\udcff"}'],
        ["start", "greet", 'name:="\udcff"'],
        ["start", "\udcff"],
        ["get", "\udcff"],
        ["watch", "\udcff"],
        ["cancel", "\udcff"],
        ["pause", "--type", "\udcff"],
        ["list", "--owner", "\udcff"],
    ],
)
def test_bytes_that_are_not_utf_8_are_no_crash(arguments: list[str], milepost: Command) -> None:
    code, out, err = milepost(*arguments)
    assert (code, out) == (Exit.USAGE, "")
    assert re.fullmatch(r"milepost: .*\\udcff.* can't be written as utf-8\.\n", err), err


@pytest.mark.parametrize("given", ["", "é", "a\nb"])
@pytest.mark.parametrize("words", [["start", "greet"], ["deliver", "0198c0de-7a5b-7e11-8a3c-2f6d5b1c9e40"]])
def test_an_idempotency_key_that_is_none_is_not_replaced(words: list[str], given: str, milepost: Command) -> None:
    code, out, err = milepost(*words, "--idempotency-key", given)
    assert (code, out) == (Exit.USAGE, "")
    assert err == "milepost: --idempotency-key: from 1 to 255 printable ASCII characters.\n"
