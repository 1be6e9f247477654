import os
import signal
from pathlib import Path

from milepost.cli.exits import Exit
from tests.cli.conftest import Command
from tests.cli.processes import Server, Terminal, environment, spawn, wait_for_line


def meeting(server: Server, name: str) -> tuple[str, Path]:
    """A running task that waits for its gate to be opened."""
    gate = server.folder / name
    os.mkfifo(gate)
    task_id = server.start("meet", gate=name)
    server.wait(task_id, "running", message="waiting")
    return task_id, gate


def test_a_line_for_each_change(milepost: Command, server: Server) -> None:
    task_id = milepost("start", "count", "to=30", "--watch").out.splitlines()[0]
    outcome = milepost("start", "count", "to=30", "--watch")
    assert outcome.code == 0
    lines = [line.partition("  ")[2] for line in outcome.out.splitlines()[1:]]
    assert "info      counted  n=20" in lines
    assert lines[-1] == "succeeded  100 %  30 of 30  at 30"
    assert len(lines) == len(set(lines))
    again = milepost("watch", task_id)
    assert again.code == 0
    assert again.out.splitlines()[-1].endswith("succeeded  100 %  30 of 30  at 30")
    assert '"counted":30' in again.err


def test_ctrl_c_ends_watching_and_not_the_task(server: Server) -> None:
    task_id, gate = meeting(server, "interrupted")
    process = spawn("watch", task_id, "--url", server.url, env=environment())
    wait_for_line(process.stdout, "waiting")
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == Exit.INTERRUPTED
    assert err == (
        f"milepost: Not watching any more; the task goes on. Watch it again with `milepost watch {task_id}`.\n"
    )
    assert server.get(task_id)["state"] == "running"
    gate.write_text("hello")
    assert server.wait(task_id)["result"] == "hello"


def test_on_a_terminal_there_is_a_bar(server: Server) -> None:
    task_id, gate = meeting(server, "bar")
    terminal = Terminal("watch", task_id, url=server.url)
    terminal.read_until(r"running.*50 %")
    gate.write_text("\x1b]0;evil\x07")
    assert terminal.end() == 0
    assert "succeeded" in terminal.screen
    assert "\x1b]0;" not in terminal.screen
    assert r"\u001b]0;evil" in terminal.screen


def test_log_lines_scroll_above_the_bar(server: Server) -> None:
    terminal = Terminal("start", "count", "to=300", "by=100", "--watch", url=server.url, columns=120)
    assert terminal.end() == 0
    for n in (100, 200, 300):
        assert f"counted  n={n}" in terminal.screen
    assert "300 of 300" in terminal.screen
    assert "/s" in terminal.screen


def test_ctrl_c_on_a_terminal(server: Server) -> None:
    task_id, gate = meeting(server, "typed")
    terminal = Terminal("watch", task_id, url=server.url)
    terminal.read_until(r"running.*50 %")
    terminal.type("\x03")
    assert terminal.end() == Exit.INTERRUPTED
    assert f"milepost watch {task_id}" in terminal.screen
    assert terminal.screen.rstrip().endswith("`.")
    gate.write_text("")
    server.wait(task_id)


def test_p8_watching_goes_on_when_the_server_comes_back(own_server: Server) -> None:
    task_id, gate = meeting(own_server, "gate")
    process = spawn("watch", task_id, "--url", own_server.url, env=environment())
    terminal = Terminal("watch", task_id, url=own_server.url)
    wait_for_line(process.stdout, "waiting")
    terminal.read_until(r"running.*50 %")
    own_server.process.kill()
    own_server.process.wait()
    assert process.stderr is not None
    assert process.stderr.readline() == "The connection broke; trying again.\n"
    terminal.read_until("reconnecting")
    back = Server(own_server.folder, "--grace", "5", port=own_server.port)
    try:
        back.wait(task_id, "running", message="waiting")
        gate.write_text("back again")
        out, err = process.communicate(timeout=60)
        assert process.returncode == 0
        assert out.splitlines()[-1].endswith("succeeded  100 %  waiting")
        assert '"back again"' in err
        assert terminal.end() == 0
    finally:
        back.stop()


def test_a_task_that_ended_long_ago(milepost: Command, server: Server) -> None:
    failed = milepost("start", "fail").out.strip()
    server.wait(failed)
    outcome = milepost("watch", failed)
    assert outcome.code == Exit.FAILED
    assert outcome.err == "milepost: The task failed: no such thing (nothing_there)\n"


def test_a_repeating_task_is_watched_to_the_end_of_its_run(milepost: Command, server: Server) -> None:
    outcome = milepost("start", "echo", "--every", "1h", "--watch")
    assert outcome.code == 0
    assert "Its next run is due at 20" in outcome.err
    task_id = outcome.out.splitlines()[0]
    assert milepost("watch", task_id).code == 0
    milepost("cancel", task_id)


def test_a_result_that_is_a_file_is_pointed_to_or_saved(milepost: Command, tmp_path: Path) -> None:
    outcome = milepost("start", "blob", "size=2000", "--watch")
    task_id = outcome.out.splitlines()[0]
    assert f"Its result is blob.bin, 2,000 bytes (fetch it with `milepost result {task_id} -o .`).\n" in outcome.err
    assert milepost("watch", task_id, "-o", tmp_path).code == 0
    assert (tmp_path / "blob.bin").stat().st_size == 2000


def test_a_task_without_a_result(milepost: Command) -> None:
    outcome = milepost("start", "nothing", "--wait")
    assert outcome.code == 0
    assert outcome.err.startswith("Succeeded after ")
    assert outcome.err.count("\n") == 1


def test_nothing_to_watch(milepost: Command) -> None:
    outcome = milepost("watch", "0198c0de-7a5b-7e11-8a3c-2f6d5b1c9e40")
    assert outcome == (Exit.NOT_FOUND, "", "milepost: There is no such task.\n")
