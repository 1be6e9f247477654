import json
import re
from pathlib import Path
from typing import Any

import httpx2
import pytest

from milepost import times
from milepost.access.keyring import Keyring
from milepost.cli.exits import CommandError, Exit
from milepost.cli.key import _with_keys
from milepost.cli.remote import Remote
from milepost.store.refusals import StoreBusy, StoreFull
from tests.cli.conftest import Command, Outcome
from tests.cli.foreign import Canned, serving
from tests.cli.processes import JOBS, Server, Terminal, environment, spawn, wait_for_line

SECRET = re.compile(r"mp_[0-9a-f]{16}_[0-9a-f]{64}\n")
NO_SUCH = "`milepost key list` lists them, by their ids.\n"


@pytest.fixture
def key(command: Command, tmp_path: Path) -> Command:
    """Runs `milepost key` on an own store."""
    store = tmp_path / "tasks.db"
    assert command("migrate", "--store", store, "--create").code == 0

    def call(*arguments: object) -> Outcome:
        return command("key", *arguments, "--store", store)

    return call


def made(key: Command, name: str = "ada", *grants: str) -> tuple[str, str]:
    """The id of a new key, and the key."""
    words = [word for grant in grants or ("acme:user",) for word in ("--grant", grant)]
    outcome = key("add", name, *words)
    assert outcome.code == 0
    assert SECRET.fullmatch(outcome.out)
    return outcome.out.split("_")[1], outcome.out.strip()


def test_a_key_is_printed_alone_and_explained_beside(key: Command) -> None:
    grants = ("--grant", "acme:user", "--grant", "beta:admin")
    first = key("add", "ada", *grants, "--display-name", "Ada L.", "--aparavi", "node")
    assert SECRET.fullmatch(first.out)
    key_id = first.out.split("_")[1]
    assert first.err == (
        f"Key {key_id} of ada (Ada L.), with acme:user, beta:admin. It is shown this once only.\n"
        "It is the first: from now on this store is closed to who has no key.\n"
    )
    second = key("add", "ci", "--grant", "*:service")
    assert second.err == f"Key {second.out.split('_')[1]} of ci, with *:service. It is shown this once only.\n"


def test_keys_are_listed_without_their_secrets(key: Command) -> None:
    assert key("list") == (0, "", "")
    assert key("list", "--json").out == '{"keys":[]}\n'
    one = key("add", "ada", "--grant", "acme:user", "--display-name", "Ada L.", "--aparavi", "page").out.strip()
    two, three = made(key, "ci", "*:service"), made(key, "ops", "a:b:admin", "beta:member")
    key("revoke", two[0])
    outcome = key("list", "--json")
    found = json.loads(outcome.out)["keys"]
    assert [entry["id"] for entry in found] == [one.split("_")[1], two[0], three[0]]
    for entry in found:
        assert times.from_rfc3339(entry.pop("created_at")) <= times.now()
    assert times.from_rfc3339(found[1].pop("revoked_at")) <= times.now()
    ada = {"name": "ada", "display_name": "Ada L.", "grants": ["acme:user"], "profile": "page", "revoked_at": None}
    for entry in found:
        assert [entry.pop(name) for name in ("expires_at", "last_used_at", "replaced_by")] == [None] * 3
    assert found[0] == {"id": one.split("_")[1], **ada}
    assert found[1] == {"id": two[0], "name": "ci", "display_name": "ci", "grants": ["*:service"], "profile": None}
    lines = [line.split("\t") for line in key("list").out.splitlines()]
    assert [line[:5] for line in lines] == [
        [one.split("_")[1], "ada", "Ada L.", "acme:user", "page"],
        [two[0], "ci", "ci", "*:service", ""],
        [three[0], "ops", "ops", "a:b:admin, beta:member", ""],
    ]
    assert [bool(line[8]) for line in lines] == [False, True, False]
    for secret in (one, two[1], three[1]):
        assert secret.split("_")[2] not in outcome.out + key("list").out


def test_people_see_a_table(key: Command, tmp_path: Path) -> None:
    key_id, secret = made(key)
    terminal = Terminal("key", "list", "--store", tmp_path / "tasks.db", columns=140)
    assert terminal.end() == 0
    heads, row = re.sub(r"\x1b\[\d*m", "", terminal.screen).splitlines()
    assert re.fullmatch(r"ID +NAME +DISPLAY NAME +GRANTS +APARAVI +CREATED +LAST USED +EXPIRES +REVOKED *", heads)
    assert re.fullmatch(rf"{key_id} +ada +ada +acme:user +\d\d:\d\d:\d\d *", row)
    assert secret.split("_")[2] not in terminal.screen


def test_keys_are_revoked_by_id_or_as_they_were_printed(key: Command) -> None:
    one, two, three = made(key), made(key, "bob"), made(key, "eve")
    outcome = key("revoke", one[0], two[1])
    assert (outcome.code, outcome.err) == (0, "")
    (first, when, name), second = (line.split("\t") for line in outcome.out.splitlines())
    assert (first, second[0], name) == (one[0], two[0], "ada")
    assert key("revoke", one[0]).out == f"{first}\t{when}\tada\n", "it keeps the time of then"
    last = key("revoke", three[0])
    assert last.err == ("There is no valid key any more, and the store stays closed: `milepost key add` makes one.\n")


def test_a_key_that_is_not_there_is_not_found(key: Command) -> None:
    known, _ = made(key)
    for given in ("0" * 16, "ada", "", f"mp_{'0' * 16}_{'1' * 64}"):
        outcome = key("revoke", given)
        assert outcome == (Exit.NOT_FOUND, "", f"milepost: There is no such key. {NO_SUCH}")
    outcome = key("revoke", "0" * 16, known, f"mp_{'5' * 16}_{'1' * 64}", "1" * 64, "ada")
    assert outcome.code == Exit.NOT_FOUND
    assert outcome.out.startswith(f"{known}\trevoked ")
    there_is_none = "There is no such key."
    assert outcome.err == (
        f"milepost: {'0' * 16}: {there_is_none}\n"
        f"milepost: {'5' * 16}: {there_is_none}\n"
        f"milepost: 11111111…: {there_is_none}\n"
        f"milepost: ada: {there_is_none}\n"
        "There is no valid key any more, and the store stays closed: `milepost key add` makes one.\n"
        f"milepost: Not done for 4 of the 5 keys. {NO_SUCH}"
    )


def test_what_no_key_can_be_is_named_by_its_option(key: Command) -> None:
    outcome = key("add", "local", "--grant", "acme:user", "--grant", "acme:service", "--display-name", "")
    assert (outcome.code, outcome.out) == (Exit.USAGE, "")
    assert outcome.err == (
        "milepost: NAME: 'local' is everybody while there is no key; take another name. "
        "--display-name: From 1 to 200 printable characters. "
        "--grant 2: A service reaches every tenant, so write *:service; for one tenant grant admin.\n"
    )
    assert "Missing option '--grant'" in key("add", "ada").err
    assert "'java' is not one of" in key("add", "ada", "--grant", "acme:user", "--aparavi", "java").err
    assert key("list").out == ""


def test_a_store_is_not_made_by_the_way(command: Command, tmp_path: Path) -> None:
    store = tmp_path / "task.db"
    for words in (["add", "ada", "--grant", "acme:user"], ["list"], ["revoke", "0" * 16]):
        outcome = command("key", *words, "--store", store)
        assert outcome.code == Exit.USAGE
        assert (
            outcome.err == f"milepost: --store: there is no store at {store}. `milepost migrate --create` makes one.\n"
        )
    assert command("key", "list", "--store", "postgres://x").code == Exit.USAGE
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("said", "left"),
    [("90d", 90 * times.DAY), ("2200-01-31", None), ("2200-01-31T02:00:00+02:00", None)],
)
def test_a_key_expires_after_a_while_or_at_a_time(said: str, left: int | None, key: Command) -> None:
    before = times.now()
    outcome = key("add", "ada", "--grant", "acme:user", "--expires", said)
    (entry,) = json.loads(key("list", "--json").out)["keys"]
    assert f", until {entry['expires_at'][:19]}Z. It is shown" in outcome.err
    if left is None:
        assert entry["expires_at"] == "2200-01-31T00:00:00.000000Z"
    else:
        assert before <= times.from_rfc3339(entry["expires_at"]) - left <= times.now()
    assert key("list").out.split("\t")[7].startswith(entry["expires_at"][:19])


@pytest.mark.parametrize(
    ("said", "why"),
    [
        ("2020-01-01", "A key expires at a time that is still to come."),
        ("0s", "A key expires at a time that is still to come."),
        ("2020-02-31", "no such date: '2020-02-31T00:00:00Z'."),
        ("soon", "not a duration, like 90s, 1h30m or 7d (units: w, d, h, m, s, ms, us): 'soon'."),
        ("", "not a duration, like 90s, 1h30m or 7d (units: w, d, h, m, s, ms, us): ''."),
    ],
)
def test_an_expiry_that_is_none_is_refused(said: str, why: str, key: Command) -> None:
    outcome = key("add", "ada", "--grant", "acme:user", "--expires", said)
    assert outcome == (Exit.USAGE, "", f"milepost: --expires: {why}\n")
    assert key("list").out == ""


def test_a_key_is_rotated_by_its_id_or_as_it_was_printed(key: Command) -> None:
    old, secret = made(key)
    outcome = key("rotate", old)
    assert SECRET.fullmatch(outcome.out)
    new = outcome.out.split("_")[1]
    assert outcome.err == f"Key {new} of ada, with acme:user. It is shown this once only. {old} is valid for 1h more.\n"
    first, second = json.loads(key("list", "--json").out)["keys"]
    assert (first["replaced_by"], second["replaced_by"]) == (new, None)
    assert times.from_rfc3339(first["expires_at"]) == times.from_rfc3339(second["created_at"]) + times.HOUR
    third = key("rotate", outcome.out.strip())
    assert third.err.startswith("milepost: ID: a whole key on a command line can be read in the list of processes,")
    new = third.out.split("_")[1]
    last = key("rotate", third.out.strip(), "--grace", "0s")
    assert last.err.endswith(f" {new} is valid no more.\n")
    for gone in (old, secret, new, "0" * 16, "ada"):
        refused = key("rotate", gone)
        assert (refused.code, refused.out) == (Exit.NOT_FOUND, "")
        assert refused.err == f"milepost: There is no such key, or it has ended or was rotated already. {NO_SUCH}"
    wrong = key("rotate", last.out.strip(), "--grace", "long")
    assert (wrong.code, wrong.err[:27]) == (Exit.USAGE, "milepost: --grace: not a du")


def test_what_has_expired_counts_as_no_valid_key(key: Command) -> None:
    one, two = made(key), made(key, "bob")
    key("rotate", two[0], "--grace", "0s")
    newest = json.loads(key("list", "--json").out)["keys"][-1]["id"]
    assert key("revoke", newest).err == ""
    assert "There is no valid key any more" in key("revoke", one[0]).err


@pytest.mark.parametrize("error", [StoreBusy, StoreFull])
def test_a_store_that_can_not_be_written_is_one_line(error: type[Exception], key: Command, tmp_path: Path) -> None:
    async def act(keys: Keyring) -> None:
        raise error("Not now.")

    assert key("list").code == 0
    with pytest.raises(CommandError, match=r"^--store: Not now\.$") as caught:
        _with_keys(str(tmp_path / "tasks.db"), act)
    assert caught.value.code is Exit.FAILED


def status(server: Server, secret: str | None = None) -> int:
    """What the server answers who shows this."""
    headers = {} if secret is None else {"authorization": f"Bearer {secret}"}
    return httpx2.get(f"{server.url}/v1/tasks", headers=headers).status_code


def test_the_first_key_closes_a_server_that_runs_and_revoking_counts_at_once(
    own_server: Server, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    def run(*words: object) -> Outcome:
        return command("key", *words, "--store", own_server.store)

    assert status(own_server) == 200
    assert any("No key is asked for" in line["event"] for line in own_server.logged())
    ada, bob = (run("add", name, "--grant", "acme:user").out.strip() for name in ("ada", "bob"))
    assert [status(own_server, secret) for secret in (None, "nonsense", ada, bob)] == [401, 401, 200, 200]
    assert own_server.remote.get("/readyz", dict[str, Any])["open_mode"] is False

    monkeypatch.setenv("MILEPOST_URL", own_server.url)
    refused = command("list")
    assert (refused.code, refused.out) == (Exit.NOT_FOUND, "")
    assert refused.err == (
        "milepost: This needs a key that is valid here. "
        "Set MILEPOST_KEY to one; `milepost key add` makes it, where the server's store is.\n"
    )
    monkeypatch.setenv("MILEPOST_KEY", ada)
    started = command("start", "echo", "--wait")
    assert started.code == 0
    assert command("list").out.count("\n") == 1
    assert command("list", "--key", bob).out == ""
    assert command("get", started.out.strip(), "--key", bob).code == Exit.NOT_FOUND

    assert run("revoke", ada).code == 0
    assert [status(own_server, secret) for secret in (None, ada, bob)] == [401, 401, 200]
    refused = command("list")
    assert refused.err == (
        "milepost: This needs a key that is valid here. "
        "The one in MILEPOST_KEY (or --key) is none, unknown, revoked or expired there.\n"
    )
    assert run("revoke", bob).code == 0
    assert [status(own_server, secret) for secret in (None, ada, bob)] == [401] * 3
    assert own_server.stop() == 0
    told = own_server.log.read_text()
    assert not [secret for secret in (ada, bob) if secret.split("_")[2] in told]


def test_what_becomes_of_a_key_counts_within_a_second_on_every_server(
    own_server: Server, command: Command, tmp_path: Path
) -> None:
    def run(*words: object) -> Outcome:
        return command("key", *words, "--store", own_server.store)

    other = Server(own_server.folder, "--no-worker")
    try:
        ada, bob = (run("add", name, "--grant", "acme:user").out.strip() for name in ("ada", "bob"))
        servers = (own_server, other)
        assert [status(server, secret) for server in servers for secret in (ada, bob)] == [200] * 4
        assert run("revoke", ada).code == 0
        # Nothing waits here: the request that follows is the first to come after it.
        assert [status(server, secret) for server in servers for secret in (ada, bob)] == [401, 200] * 2
        new = run("rotate", bob, "--grace", "0s").out.strip()
        assert [status(server, secret) for server in servers for secret in (bob, new)] == [401, 200] * 2
        rotated = run("rotate", new, "--grace", "1h").out.strip()
        assert [status(server, secret) for server in servers for secret in (new, rotated)] == [200] * 4
    finally:
        other.stop()
    assert own_server.stop() == 0
    entries = json.loads(run("list", "--json").out)["keys"]
    assert [entry["last_used_at"] is None for entry in entries] == [False] * 4
    assert run("list").out.splitlines()[0].split("\t")[6] == entries[0]["last_used_at"]


@pytest.mark.parametrize(
    ("options", "access", "is_open"),
    [
        ((), "by key; `milepost key` makes, lists and revokes them", False),
        (("--no-auth",), "open, by --no-auth: everybody on this machine may do everything", True),
    ],
)
def test_a_server_says_how_it_is_entered(
    options: tuple[str, ...], access: str, is_open: bool, key: Command, tmp_path: Path
) -> None:
    made(key)
    where = ("--store", tmp_path / "tasks.db", "--port", 0, "--no-worker")
    process = spawn("serve", JOBS, *where, *options, env=environment())
    try:
        url = wait_for_line(process.stdout, "  api").split()[1]
        assert wait_for_line(process.stdout, "  access").split(maxsplit=1)[1] == access
        with Remote(url) as remote:
            assert remote.get("/readyz", dict[str, Any])["open_mode"] is is_open
            if is_open:
                remote.get("/v1/tasks", dict[str, Any])
    finally:
        process.terminate()
        _, err = process.communicate(timeout=60)
    assert process.returncode == 0
    assert ("No key is asked for" in err) is is_open


ID = "0198c0de-7a5b-7e11-8a3c-2f6d5b1c9e40"
DENIED = Canned(401, b'{"title": "No", "detail": "Not you."}', "application/problem+json")


@pytest.mark.parametrize(
    "words",
    [
        *("start echo", "start echo --watch", "start echo n=1", "start echo --input-lines LINES", f"get {ID}", "list"),
        *(f"deliver {ID}", f"deliver {ID} n=1", f"deliver {ID} --file LINES", f"watch {ID}", "list --all", "types"),
        *(f"logs {ID}", f"logs {ID} -f", f"result {ID}", f"result {ID} -o out", f"cancel {ID}", f"cancel {ID} {ID}"),
        *(f"pause {ID}", "pause --type echo", f"resume {ID}", "resume --type echo", f"retry {ID}", f"rm -y {ID}"),
    ],
)
def test_every_command_shows_its_key_and_says_how_to_come_by_one(
    words: str, command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "lines").write_text("{}\n")
    arguments = words.replace("--input-lines LINES", "--input-lines @lines").replace("LINES", "lines").split()
    with serving(DENIED) as server:
        without = command(*arguments, "--url", server.url)
        assert {"authorization" in headers for _, _, headers in server.requests} == {False}
        server.requests.clear()
        monkeypatch.setenv("MILEPOST_KEY", "mp_key")
        shown = command(*arguments, "--url", server.url)
        assert {headers["authorization"] for _, _, headers in server.requests} == {"Bearer mp_key"}
    assert (without.code, shown.code) == (Exit.NOT_FOUND, Exit.NOT_FOUND)
    assert "Not you. Set MILEPOST_KEY to one;" in without.err
    assert "Not you. The one in MILEPOST_KEY (or --key) is none, unknown, revoked or expired there." in shown.err
    assert "mp_key" not in shown.err + shown.out


def test_a_key_that_is_empty_is_none(command: Command) -> None:
    with serving(DENIED) as server:
        assert "Set MILEPOST_KEY to one;" in command("list", "--url", server.url, "--key", "").err
        assert "authorization" not in server.requests[0][2]
