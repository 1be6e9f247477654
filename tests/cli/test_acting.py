import pytest

from milepost.cli.exits import Exit
from tests.cli.conftest import Command
from tests.cli.processes import Server, Terminal

NOBODY = "0198c0de-7a5b-7e11-8a3c-2f6d5b1c9e40"


def later(server: Server, **options: object) -> str:
    return server.start("echo", {"run_at": "2999-01-01T00:00:00Z", **options})


def test_p5_pause_resume_and_cancel_are_shown_as_asked_for(milepost: Command, server: Server) -> None:
    task_id = server.start("spin")
    server.wait(task_id, "running")
    assert milepost("pause", task_id).out == f"{task_id}\trunning, pause requested\n"
    server.wait(task_id, "paused")
    assert milepost("resume", task_id).out == f"{task_id}\tqueued\n"
    server.wait(task_id, "running")
    assert milepost("cancel", task_id).out == f"{task_id}\trunning, cancel requested\n"
    server.wait(task_id, "cancelled")
    assert milepost("retry", task_id).out == f"{task_id}\tqueued\n"
    milepost("cancel", task_id)
    server.wait(task_id, "cancelled")


def test_a_retry_can_leave_those_alone_that_failed_because_of_it(milepost: Command, server: Server) -> None:
    root = later(server)
    dependent = server.start("echo", {"depends_on": [root]})
    milepost("cancel", root)
    server.wait(dependent, "failed")
    assert milepost("retry", "--alone", root).code == 0
    assert milepost("get", dependent).out.count("failed")
    milepost("cancel", root)
    milepost("retry", root)
    server.wait(root)
    server.wait(dependent)


def test_several_at_once(milepost: Command, server: Server) -> None:
    first, second = later(server), later(server)
    outcome = milepost("cancel", first, NOBODY, second)
    assert outcome.code == Exit.NOT_FOUND
    assert outcome.out == f"{first}\tcancelled\n{second}\tcancelled\n"
    assert outcome.err == f"milepost: {NOBODY}: There is no such task.\nmilepost: Not done for 1 of the 3 tasks.\n"


def test_without_a_server_it_is_said_once(command: Command) -> None:
    outcome = command("cancel", NOBODY, NOBODY, "--url", "http://127.0.0.1:9")
    assert outcome.code == Exit.UNREACHABLE
    assert outcome.err.count("\n") == 1


def test_a_blocked_task_waits_already(milepost: Command, server: Server) -> None:
    blocked = server.start("echo", {"depends_on": [later(server)]})
    outcome = milepost("pause", blocked)
    told = "The task is blocked: it waits already, without a slot. Pause what it waits for, or cancel it."
    assert outcome == (Exit.FAILED, "", f"milepost: {told}\n")
    assert milepost("cancel", blocked).code == 0


def test_what_the_state_does_not_allow(milepost: Command, server: Server) -> None:
    task_id = server.start("echo")
    server.wait(task_id)
    outcome = milepost("cancel", task_id)
    assert outcome.code == Exit.FAILED
    assert outcome.err.count("\n") == 1


def test_deleting(milepost: Command, server: Server) -> None:
    task_id = later(server)
    dependent = server.start("echo", {"depends_on": [task_id]})
    assert milepost("rm", "-y", task_id).code == Exit.FAILED
    milepost("cancel", task_id)
    assert milepost("rm", "-y", task_id).code == Exit.FAILED
    outcome = milepost("rm", "-y", "--cascade", task_id)
    assert outcome.code == 0
    assert set(outcome.out.splitlines()) == {f"{task_id}\tdeleted", f"{dependent}\tdeleted"}
    assert milepost("get", task_id).code == Exit.NOT_FOUND


def test_deleting_asks_where_somebody_can_answer(milepost: Command, server: Server) -> None:
    first, second = later(server), later(server)
    milepost("cancel", first, second)
    terminal = Terminal("rm", first, url=server.url)
    terminal.read_until(r"Delete this task, with log and result\? \[y/N\]")
    terminal.type("n\n")
    assert terminal.end() == Exit.FAILED
    assert "Nothing was deleted." in terminal.screen
    assert milepost("get", first).code == 0
    terminal = Terminal("rm", first, second, "--cascade", url=server.url)
    terminal.read_until(r"Delete these 2 tasks, and what depends on it, with log and result\? \[y/N\]")
    terminal.type("y\n")
    assert terminal.end() == 0
    assert milepost("get", first).code == Exit.NOT_FOUND
    terminal = Terminal("rm", NOBODY, url=server.url)
    terminal.read_until(r"\[y/N\]")
    terminal.type("\x03")
    assert terminal.end() == Exit.INTERRUPTED


def test_deleting_without_a_terminal_needs_a_word(
    milepost: Command, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin.isatty", lambda: False, raising=False)
    outcome = milepost("rm", NOBODY)
    assert outcome == (Exit.USAGE, "", "milepost: Deleting is for good; say -y to do it without being asked.\n")


def test_a_type_as_a_whole(own_server: Server, command: Command) -> None:
    url = ("--url", own_server.url)
    assert command("pause", "--type", "echo", *url).out == "echo\tpaused\n"
    task_id = own_server.start("echo")
    own_server.wait(task_id, "queued", message="Tasks of this type are paused.")
    assert "\techo" not in command("types", *url).out
    assert "(paused)" in next(line for line in command("types", *url).out.splitlines() if line.startswith("echo"))
    own_server.wait(own_server.start("note", text="others go on"))
    assert command("resume", "--type", "echo", *url).out == "echo\tresumed\n"
    assert own_server.wait(task_id)["state"] == "succeeded"
    missing = command("pause", "--type", "absent", "--type", "echo", *url)
    assert (missing.code, missing.out) == (Exit.NOT_FOUND, "echo\tpaused\n")
    assert missing.err.splitlines()[-1] == "milepost: Not done for 1 of the 2 types."


@pytest.mark.parametrize("verb", ["pause", "resume"])
@pytest.mark.parametrize("words", [(), (NOBODY, "--type", "echo")])
def test_either_tasks_or_types_are_named(command: Command, verb: str, words: tuple[str, ...]) -> None:
    outcome = command(verb, *words)
    assert (outcome.code, outcome.err.count("\n")) == (Exit.USAGE, 1)
