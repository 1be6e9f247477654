"""Is a secret anywhere in what a whole run writes? Store, files, logs, answers, callbacks, metrics, processes.

A server with its worker is called in every dialect, with keys and tokens in every place where clients put them; secret
arguments come by every way there is; much of it goes wrong, some of it by force. What the search would overlook, it
would also overlook of what is planted openly: that is looked for too.
"""

import base64
import io
import json
import re
import secrets
import signal
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote, quote_plus

import httpx2
import msgspec
import psutil
import pytest
from hypothesis import given
from hypothesis import strategies as st
from joserfc import jwt

from milepost.cli.main import run as run_command
from tests.access.issuer import AUDIENCE, RSA
from tests.cli import blabbing
from tests.cli.foreign import Canned, serving
from tests.cli.planting import Planted, Receiver, Written, core, forms, leaks, receiving, watched_processes
from tests.cli.processes import Server, environment, milepost

TENANT: Final = "1764"
TYPES: Final = ("threaded", "odd", "leaving", "crash")
PLACES: Final = (
    "list of processes",
    "file tasks.db",
    "file tasks.db-wal",
    "file serve.log",
    "file tasks.db.files/",
    "callbacks",
    "out ",
    "answer native",
    "answer metavault",
    "answer services",
    "answer aparavi",
    "answer cloudcoin",
    "answer quant",
    "answer GET /metrics",
    "answer GET /readyz",
    "answer GET /openapi/",
    "answer GET /docs/",
)
"""Where the search shows that it finds what stands there openly."""


class Here:
    """Runs commands in this process."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        self._monkeypatch = monkeypatch
        self._capsys = capsys

    def __call__(self, words: list[str], input: str, variables: Mapping[str, str]) -> tuple[str, str]:
        """What one prints."""
        self._capsys.readouterr()
        with self._monkeypatch.context() as patch:
            patch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(input.encode())))
            for name, value in variables.items():
                patch.setenv(name, value)
            run_command(words)
        out, err = self._capsys.readouterr()
        return out, err


class Run:
    """A store, who serves it, and everything that was seen of that."""

    def __init__(self, folder: Path, receiver: Receiver, written: Written, issuer: str, here: Here) -> None:
        self.folder = folder
        self.here = here
        self.receiver = receiver
        self.written = written
        self.planted: list[Planted] = []
        self.seen: set[bytes] = set()
        """The command lines of all processes."""
        self.open = core()
        """What may be seen, and is, everywhere."""
        key = secrets.token_bytes(32)
        self.plant("the key for secrets", base64.b64encode(key), key)
        self.variables = {"MILEPOST_SECRET_KEY": base64.b64encode(key).decode(), "TMPDIR": str(folder / "tmp")}
        self.variables["OPENLY"] = self.open
        (folder / "tmp").mkdir()
        self.command("migrate", "--create")
        self.admin = self.command("key", "add", "root", "--grant", f"{TENANT}:admin", apart=True).strip()
        self.plant_key("admin", self.admin)
        oidc = ("--oidc-issuer", issuer, "--oidc-audience", AUDIENCE)
        self.options = ("--log-level", "debug", "--callback-allow", "127.0.0.1", *oidc)
        self.tasks: list[str] = []
        self.server = self.serve()

    def serve(self) -> Server:
        """Serve the store, from now on."""
        files = (Path(blabbing.__file__),)
        server = Server(self.folder, *self.options, files=files, env=environment(**self.variables))
        self.client = httpx2.Client(base_url=server.url, timeout=60)
        return server

    def die(self) -> None:
        """End it by force, and whatever it has started: what was written stays as it is."""
        parent = psutil.Process(self.server.process.pid)
        family = [*parent.children(recursive=True), parent]
        for process in family:
            process.send_signal(signal.SIGKILL)
        psutil.wait_procs(family, timeout=30)
        self.written.note("out serve", f"{self.server.banner}{self.server.process.stdout.read()}")  # type: ignore[union-attr]
        self.server.stop()
        self.client.close()

    def plant(self, name: str, *cores: str | bytes, allowed: tuple[str, ...] = ()) -> None:
        """Look for this in the end."""
        self.planted.append(
            Planted(name, tuple(each.encode() if isinstance(each, str) else each for each in cores), allowed)
        )

    def plant_key(self, name: str, key: str) -> None:
        """Look for a key. Who makes it is shown it."""
        self.plant(f"the key of {name}", key.rpartition("_")[2], allowed=("out key", "answer POST /v1/keys"))

    def password(self, name: str, *allowed: str) -> str:
        """A secret argument to look for: it has in it what is written otherwise in JSON and in URLs."""
        hidden = core()
        self.plant(f"the password by {name}", hidden, allowed=allowed)
        return f'{hidden}, ä & "{secrets.token_hex(2)}"'

    def command(self, *words: object, input: str = "", apart: bool = False, **variables: str) -> str:
        """What a command prints, in this process unless `apart`; it acts on the store, or talks to the server."""
        where = ("--store", self.folder / "tasks.db") if words[0] in ("migrate", "key", "webhook") else ()
        variables = {**self.variables, **variables}
        if apart:
            done = milepost(*words, *where, input=input.encode(), **variables)
            out, err = done.stdout, done.stderr
        else:
            out, err = self.here([*map(str, (*words, *where))], input, variables)
        self.written.note(f"out {words[0]}", f"{out}\n{err}\n")
        return out

    def talk(self, *words: object, input: str = "", apart: bool = False) -> str:
        """What a command prints that talks to the server as the admin."""
        variables = {"MILEPOST_URL": self.server.url, "MILEPOST_KEY": self.admin}
        return self.command(*words, input=input, apart=apart, **variables)

    def ask(
        self, method: str, path: str, key: str | None = None, *, place: str = "", send: Mapping[str, Any] | None = None
    ) -> httpx2.Response:
        """An answer, which is kept."""
        more = dict(send or {})
        headers = {**({} if key is None else {"authorization": key}), **more.pop("headers", {})}
        answer = self.client.request(method, path, headers=headers, **more)
        place = place or f"answer {method} {path.partition('?')[0]}"
        self.written.note(place, f"{answer.status_code}\n{answer.headers.multi_items()}\n{answer.text}\n")
        return answer

    def start(self, type: str, **more: Any) -> str:
        """Start a task over the native API, as the admin, with a secret; its id."""
        given = {"password": self.password(f"HTTP, of {type}"), **more.pop("input", {})}
        body = {"type": type, "title": self.open, "callback": self.receiver.url, "input": given, "tenant": TENANT}
        answer = self.ask("POST", "/v1/tasks", f"Bearer {self.admin}", send={"json": {**body, **more}})
        assert answer.status_code == 202, answer.text
        self.tasks.append(answer.json()["id"])
        return self.tasks[-1]

    def listed(self) -> list[dict[str, Any]]:
        """All tasks."""
        answer = self.client.get("/v1/tasks?limit=200", headers={"authorization": f"Bearer {self.admin}"})
        return list(answer.json()["tasks"])

    def until(self, task_id: str, *states: str, message: str | None = None) -> dict[str, Any]:
        """The record once it has come so far."""
        query = ""
        while True:
            headers = {"authorization": f"Bearer {self.admin}"}
            record: dict[str, Any] = self.client.get(f"/v1/tasks/{task_id}{query}", headers=headers).json()
            if record["state"] in (states or ("succeeded", "failed")) and message in (None, record["message"]):
                return record
            query = f"?wait=10&version={record['version']}"


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[Run]:
    written = Written()
    folder = tmp_path / "run"
    folder.mkdir()
    with serving(Canned(200)) as issuer, receiving(written) as receiver, watched_processes() as seen:
        about = {"issuer": issuer.url, "jwks_uri": f"{issuer.url}/keys"}
        documents = (about, {"keys": [RSA.as_dict(private=False)]})
        once = [Canned(200, msgspec.json.encode(document), "application/json") for document in documents]
        issuer.answers = [*once, *once]
        run = Run(folder, receiver, written, issuer.url, Here(monkeypatch, capsys))
        run.seen = seen
        try:
            yield run
        finally:
            if run.server.process.poll() is None:
                run.die()


def token(issuer: str) -> str:
    """A token of the issuer, which is good."""
    said = {"iss": issuer, "aud": AUDIENCE, "exp": int(time.time()) + 300, "sub": "eve", "grants": [f"{TENANT}:user"]}
    return jwt.encode({"alg": "RS256", "kid": "rsa"}, said, RSA)


@pytest.mark.timeout(300)  # real processes, some of which are ended and begin again
def test_what_is_secret_is_nowhere_in_what_a_run_writes(run: Run) -> None:
    keys = make_keys(run)
    tasks = start_everywhere(run, keys)
    go_wrong(run, keys)
    still = run.start("standing_still")
    run.until(still, "running", message="standing")
    for task_id in run.tasks[:-1]:
        run.until(task_id)
    for child in run.listed():
        if child["parent"] is not None:
            run.until(child["id"])
    run.die()
    run.server = run.serve()
    ended = run.until(still)
    assert (ended["state"], ended["failure"]) == ("succeeded", None)
    for _ in run.tasks:
        assert run.receiver.ends.acquire(timeout=60)
    read_everywhere(run, keys, tasks)
    run.die()
    run.written.files(run.folder)
    run.written.note("list of processes", b"\n".join(list(run.seen)))
    found = leaks(run.planted, run.written.bodies)
    assert not found, "\n".join(found)
    seen = [Planted("open", (run.open.encode(),))]
    shown = {place for place, body in run.written.bodies.items() if leaks(seen, {place: body})}
    missing = [place for place in PLACES if not any(each.startswith(place) for each in shown)]
    assert not missing, f"{missing} of {sorted(run.written.bodies)}"


def make_keys(run: Run) -> dict[str, str]:
    """Keys of every kind, those that are valid by role."""
    admin = f"Bearer {run.admin}"
    made: dict[str, dict[str, Any]] = {}
    for name in ("user", "member", "rotated", "revoked"):
        body = {"name": name, "grants": [f"{TENANT}:{'member' if name == 'member' else 'user'}"]}
        made[name] = run.ask("POST", "/v1/keys", admin, send={"json": body}).json()
        run.plant_key(name, made[name]["key"])
    rotated = run.ask(
        "POST",
        f"/v1/keys/{made['rotated']['id']}/rotate",
        admin,
        place="answer POST /v1/keys",
        send={"json": {"grace": "0s"}},
    ).json()
    run.plant_key("who takes its place", rotated["key"])
    run.ask("DELETE", f"/v1/keys/{made['revoked']['id']}", admin)
    run.ask("GET", "/v1/keys", admin)
    run.command("key", "list")
    third = run.command("key", "rotate", rotated["id"], "--grace", "0s").strip()
    run.plant_key("who takes its place then", third)
    run.command("key", "revoke", rotated["id"])
    return {"admin": run.admin, **{name: each["key"] for name, each in made.items()}}


def start_everywhere(run: Run, keys: Mapping[str, str]) -> dict[str, str]:
    """Tasks by every way; what reads them is named by dialect."""
    for type_name in TYPES:
        run.start(type_name)
    native = run.start("export", input={"export_index": run.open, "child": True})
    user, member = keys["user"], keys["member"]
    identity, _, hidden = user.removeprefix("mp_").partition("_")
    index = {"export_index": run.open}
    place = f"/api/projects/{TENANT}/export"
    body = {**index, "password": run.password("Metavault")}
    metavault = run.ask("POST", place, f"mvpat-{member}", place="answer metavault", send={"json": body})
    target = {"action": "export", **index, "password": run.password("Services")}
    services = run.ask(
        "POST",
        "/tasks",
        f"Bearer {identity}:{hidden}",
        place="answer services",
        send={"json": {"desc": run.open, "target": target, "trigger": {}, "chain": int(TENANT)}},
    )
    body = {**index, "password": run.password("CloudCoin")}
    cloudcoin = run.ask("POST", "/api/v1/export", member, place="answer cloudcoin", send={"json": body})
    quant = run.ask(
        "POST",
        f"/api/v3/organizations/{TENANT}/ai/tasks",
        f"Bearer {member}",
        place="answer quant",
        send={"json": {"title": run.open}},
    )
    pipeline = {
        "pipeline": {"components": [{"name": run.open, "provider": "file", "config": {"path": f"/data/{run.open}"}}]}
    }
    aparavi = run.ask("PUT", "/task", member, place="answer aparavi", send={"json": pipeline})
    for answer in (metavault, services, cloudcoin, quant, aparavi):
        assert answer.status_code < 300, answer.text
    name = aparavi.json()["data"]["token"]
    run.plant("the token of a task", name, allowed=("answer aparavi",))
    by_command(run)
    webhooks(run)
    listed = run.listed()
    return {
        "native": native,
        "metavault": place.rpartition("/")[0] + f"/tasks/{native.replace('-', '')}",
        "services": str(next(each["number"] for each in listed if each["id"] == native)),
        "cloudcoin": f"/api/v1/tasks/{native}",
        "quant": f"/api/v3/organizations/{TENANT}/ai/tasks/{native}",
        "aparavi": f"/task?token={name}&type=cpu",
    }


def by_command(run: Run) -> None:
    """Start tasks by real commands, whose secrets come by every way."""
    file = run.folder.parent / "password.txt"
    file.write_text(f"{run.password('a file of a word')}\n")
    run.talk(
        "start", "export", f"password=@{file}", f"export_index={run.open}", "--wait", "--title", run.open, apart=True
    )
    run.talk("start", "export", "password=-", "--json", input=run.password("a line of stdin"))
    file.write_bytes(msgspec.json.encode({"password": run.password("a file of --input")}))
    run.talk("start", "export", "--input", f"@{file}", "--watch")
    run.talk(
        "start", "export", "--input-lines", "-", input=msgspec.json.encode({"password": run.password("lines")}).decode()
    )
    seen = run.password("a word of the command", "list of processes")
    run.talk("start", "export", f"password={seen}", apart=True)
    wrong = msgspec.json.encode({"password": [run.password("what does not fit")]}).decode()
    run.talk("start", "export", "--input", "-", input=wrong)
    key = f"mp_{'0' * 16}_{secrets.token_hex(32)}"
    run.plant_key("nobody", key)
    run.command("list", MILEPOST_URL=run.server.url, MILEPOST_KEY=key)
    file.write_text(key)
    run.command("list", "--url", run.server.url, "--key", f"@{file}")
    run.command("list", "--url", run.server.url.replace("http", "https"), "--key", "-", input=key)
    run.command("list", "--url", "http://192.0.2.1", "--key", f"@{file}")
    file.unlink()


def webhooks(run: Run) -> None:
    """What calls are signed with, made and asked for."""
    shown = [
        run.ask("POST", "/v1/webhook-secrets", f"Bearer {run.admin}", send={"json": {"tenant": TENANT}}).json()[
            "secret"
        ],
        run.command("webhook", "secret", TENANT, "--rotate").strip(),
    ]
    for number, secret in enumerate(shown):
        text = secret.removeprefix("whsec_")
        allowed = ("out webhook", "answer POST /v1/webhook-secrets")
        run.plant(f"webhook secret {number}", text, base64.b64decode(text), allowed=allowed)
    run.ask("GET", "/v1/webhook-secrets", f"Bearer {run.admin}")


def go_wrong(run: Run, keys: Mapping[str, str]) -> None:
    """Requests that are refused or fail, with secrets in every place where somebody might put them."""
    good = token(run.options[run.options.index("--oidc-issuer") + 1])
    forged = good[:-12] + "A" * 12
    for name, each in (("a token", good), ("a forged token", forged)):
        run.plant(name, each.rpartition(".")[2][:40])
    unknown = f"mp_{'1' * 16}_{secrets.token_hex(32)}"
    run.plant_key("somebody unknown", unknown)
    assert run.ask("GET", "/v1/tasks", f"Bearer {good}").status_code == 200
    paths = (
        "/v1/tasks",
        f"/api/projects/{TENANT}/tasks/x",
        "/tasks",
        "/task?token=x",
        "/api/v1/tasks/x",
        "/status",
        "/broken",
    )
    for shown in (unknown, forged, good, keys["rotated"], keys["revoked"], run.admin):
        basic = base64.b64encode(f"ada:{shown}".encode()).decode()
        query = "&".join(f"{name}={shown}" for name in ("token", "key", "api_key", "access_token"))
        more = {"headers": {"cookie": f"session={shown}", "x-api-key": shown, "referer": f"http://a/?token={shown}"}}
        for path in (*paths, f"/api/v3/organizations/{TENANT}/ai/tasks"):
            run.ask("GET", f"{path}{'&' if '?' in path else '?'}{query}", f"Basic {basic}", send=more)
            for scheme in (f"{shown} x", f"mvpat-{shown}"):
                run.ask("GET", path, scheme, send=more)
        run.ask("GET", f"/v1/tasks/{shown}", f"Bearer {run.admin}", place="refused by a path")
        run.ask("GET", f"/{shown}/x", f"Bearer {run.admin}", place="refused by a path")
    password = run.password("what is refused")
    text = {"content-type": "application/json"}
    for path in ("/v1/tasks", "/tasks", "/task", f"/api/projects/{TENANT}/export", "/api/v1/export", "/broken"):
        method = "PUT" if path == "/task" else "POST"
        for body in (f'{{"type": "export", "input": {{"password": "{password}', f'["{password[:20]}"]'):
            run.ask(method, path, f"Bearer {run.admin}", send={"content": body.encode(), "headers": text})
    for value in ([password], {"a": password}, 17):
        said = {"type": "export", "input": {"password": value, "n": 1}, "tenant": TENANT}
        assert run.ask("POST", "/v1/tasks", f"Bearer {run.admin}", send={"json": said}).status_code == 422
    run.ask("POST", "/broken", f"Bearer {run.admin}", send={"json": {"password": password}})
    hidden = core()
    run.plant("the password in a callback's URL", hidden)
    for url in (f"https://ada:{hidden}@hooks.example.com/", f"ftp://ada:{hidden}@example.com"):
        named = {"type": "export", "callback": url, "tenant": TENANT}
        assert run.ask("POST", "/v1/tasks", f"Bearer {run.admin}", send={"json": named}).status_code == 422
    run.command("serve", blabbing.__file__, "--oidc-issuer", f"http://ada:{hidden}@example.com", "--oidc-audience", "x")
    distrusted = f"https://127.0.0.1:{run.receiver.server_port}/"
    run.start("odd", callback=distrusted)
    run.tasks.pop()


def read(run: Run, task: Mapping[str, Any], role: str, key: str) -> None:
    """Everything of a task, in every dialect."""
    own, bearer = f"/v1/tasks/{task['id']}", f"Bearer {key}"
    parts = "input,checkpoint" + (",traceback" if role == "admin" else "")
    native = [f"{own}?include={parts}", f"{own}/logs?limit=1000", f"{own}/callbacks", f"{own}/result"]
    for path in native + ([f"{own}/events"] if task["state"] in ("succeeded", "failed") else []):
        run.ask("GET", path, bearer, place="answer native")
    where = {
        "metavault": f"/api/projects/{TENANT}/tasks/{task['id'].replace('-', '')}",
        "services": f"/tasks/{task['number']}?chain={TENANT}",
        "cloudcoin": f"/api/v1/tasks/{task['id']}",
        "quant": f"/api/v3/organizations/{TENANT}/ai/tasks/{task['id']}",
    }
    for dialect, path in where.items():
        run.ask("GET", path, bearer, place=f"answer {dialect}")
    run.ask("GET", where["metavault"] + "/result", key, place="answer metavault")


def read_everywhere(run: Run, keys: Mapping[str, str], tasks: Mapping[str, str]) -> None:
    """Everything that can be read, by every role, in every dialect."""
    every = run.listed()
    for role in ("user", "member", "admin"):
        key = keys[role]
        bearer = f"Bearer {key}"
        for task in every if role != "member" else every[:3]:
            read(run, task, role, key)
        run.ask("GET", tasks["aparavi"], key, place="answer aparavi")
        for path in ("/v1/tasks?limit=200", "/v1/types"):
            run.ask("GET", path, bearer, place="answer native")
        run.ask("GET", f"/tasks?chain={TENANT}", bearer, place="answer services")
        run.ask("GET", f"/api/v3/organizations/{TENANT}/ai/tasks?includeDetails=true", bearer, place="answer quant")
        run.ask("GET", "/status", bearer, place="answer aparavi")
        run.ask("GET", "/metrics", bearer)
    for path in ("/", "/docs", "/healthz", "/readyz", "/openapi.json"):
        run.ask("GET", path)
    for dialect in ("native", "metavault", "services", "aparavi", "cloudcoin", "quant", "broken"):
        run.ask("GET", f"/docs/{dialect}")
        run.ask("GET", f"/openapi/{dialect}.json")
        run.ask("GET", f"/openapi/{dialect}-3.0.json")
    answer = run.ask(
        "GET", f"/tasks/{tasks['services']}/download_url?chain={TENANT}", f"Bearer {run.admin}", place="a link"
    )
    found = re.search(r"/results/([\w.-]+)", answer.text)
    assert found is not None, answer.text
    run.plant("a signed link", found[1], allowed=("a link", "answer cloudcoin", "answer quant", "answer aparavi"))
    for path in (found[0], f"{found[0]}x", f"{found[0]}/y", f"/tasks{found[0]}", f"{found[0]}?a=b"):
        run.ask("GET", path, place="answer of a link")
    for verb in ("get", "logs", "result", "watch"):
        run.talk(verb, tasks["native"])
    run.talk("list", "--json")


@given(st.binary(min_size=12, max_size=60), st.binary(max_size=5), st.binary(max_size=5))
def test_a_secret_is_found_in_whatever_form_it_was_written(secret: bytes, before: bytes, after: bytes) -> None:
    whole = before + secret + after
    for written in (whole, whole.hex().encode(), base64.b64encode(whole), base64.urlsafe_b64encode(whole)):
        assert leaks([Planted("it", (secret,))], {"somewhere": written}) != []


@given(st.text(min_size=8))
def test_so_is_one_that_is_text(secret: str) -> None:
    for written in (
        json.dumps([secret]),
        json.dumps([secret], ensure_ascii=False),
        quote(f"x{secret}", safe=""),
        quote_plus(secret),
        repr([secret]),
    ):
        body = written.encode("utf-8", "surrogatepass")
        assert any(form in body for form in forms(secret.encode("utf-8", "surrogatepass")))


def test_where_it_may_be_it_is_no_leak() -> None:
    planted = [Planted("it", (b"secret",), ("out key",))]
    written = {"out key": b"secret", "out list": b"secret", "file": b"nothing"}
    assert leaks(planted, written) == ["it in out list: …secret…"]
