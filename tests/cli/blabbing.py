"""Tasks that tell of their secrets in every way there is, and a dialect that fails: served by a whole run."""

import asyncio
import logging
import os
import signal
import threading
from typing import Any, NoReturn

from starlette.requests import Request
from starlette.responses import Response

from milepost import BlockingContext, Context, File, Milepost, Secret
from milepost.http.dialect import Call, NoQuery, Operation
from milepost.http.dialects.aparavi import Aparavi
from milepost.http.dialects.cloudcoin import CloudCoin
from milepost.http.dialects.metavault import Metavault
from milepost.http.dialects.native import Native
from milepost.http.dialects.quant import Quant
from milepost.http.dialects.services import Services

OPENLY = os.environ.get("OPENLY", "openly")
"""What is told everywhere and is no secret."""


class Broken(Native):
    """Every request fails in it."""

    name = "broken"

    def operations(self) -> list[Operation]:
        return [
            Operation("GET", "/broken", self.fail, summary=OPENLY),
            Operation("POST", "/broken", self.fail, body=dict[str, Any]),
        ]

    async def fail(self, call: Call[NoQuery, Any]) -> Response:
        shown, sent = self.credentials(call.request), call.body
        raise RuntimeError(f"broken: {bool(shown)}, {bool(sent)}")

    def credentials(self, request: Request) -> str | None:
        return super().credentials(request)


app = Milepost(
    dialects=[Native(), Metavault(), Services(execute_wait=0), Aparavi(), CloudCoin(), Quant(), Broken()],
)


class Odd:
    """What no result can be, and says of itself more than it should."""

    def __init__(self, password: str) -> None:
        self.password = password

    def __repr__(self) -> str:
        return f"Odd({self.password})"


def tell(ctx: Context | BlockingContext, password: str) -> None:
    """Say it wherever one can."""
    ctx.log(f"signing in with {password}", password=password, all={"which": [password], password: 1})
    ctx.progress(message=f"with {password}")
    logger = logging.getLogger("theirs")
    logger.warning("using %r, %s", password, {"and": password})
    logger.error("in a URL: https://ada:%s@example.com/?password=%s", password, password)
    try:
        raise KeyError(password)
    except KeyError:
        logger.exception("caught %s", password)
    elsewhere = threading.Thread(target=logger.warning, args=("in a thread of its own: %s", password))
    elsewhere.start()
    elsewhere.join()


def fail(password: str) -> NoReturn:
    """Raise it, with a cause and a note that have it too."""
    try:
        raise LookupError(password)
    except LookupError as cause:
        error = ValueError(f"{password} is wrong")
        error.add_note(f"try another than {password}")
        raise error from cause


@app.task(retries=1, backoff=0)
async def export(
    ctx: Context, *, export_index: str = "", password: Secret[str] | None = None, child: bool = False
) -> File:
    """Export to a file."""
    ctx.progress(message=f"exporting {export_index}")
    logging.getLogger("theirs").warning("exporting %s", export_index)
    if password is not None:
        tell(ctx, password)
        if child:
            await ctx.start("apart", {"password": password})
        if ctx.task.attempt == 1:
            fail(password)
    (ctx.folder / "rows.csv").write_text(f"{export_index}\n")
    return File(ctx.folder / "rows.csv")


@app.task(runner="process", retries=1, backoff=0)
def apart(ctx: BlockingContext, *, password: Secret[str]) -> int:
    tell(ctx, password)
    if ctx.task.attempt == 1:
        fail(password)
    return len(password)


@app.task
def threaded(ctx: BlockingContext, *, password: Secret[str]) -> NoReturn:
    tell(ctx, password)
    fail(password)


@app.task
async def odd(*, password: Secret[str]) -> Any:
    return {"odd": Odd(password)}


@app.task(runner="process")
def leaving(*, password: Secret[str]) -> NoReturn:
    raise SystemExit(password)


@app.task
async def crash(ctx: Context, *, password: Secret[str]) -> int:
    """Takes its worker down, and then its own process."""
    tell(ctx, password)
    if ctx.task.losses < 2:
        os.kill(os.getpid(), signal.SIGKILL)
    return ctx.task.losses


@app.task
async def standing_still(ctx: Context, *, password: Secret[str]) -> int:
    """Is ended by nobody; its next try finds that it was here, and ends."""
    if ctx.saved is None:
        await ctx.checkpoint({"was": "here"})
        ctx.progress(message="standing")
        await asyncio.Event().wait()
    tell(ctx, password)
    return len(password)


@app.task(name="pipeline")
async def run_pipeline(ctx: Context, *, components: list[dict[str, Any]], source: str | None = None) -> dict[str, Any]:
    names = [component["name"] for component in components]
    ctx.progress(message=f"running {names}")
    return {"components": names}


@app.task(name=OPENLY)
async def openly() -> None: ...
