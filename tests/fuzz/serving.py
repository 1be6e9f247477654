"""Whom schemathesis asks: a server with a worker, whose tasks end at once or when they are told to, and with keys."""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final, NamedTuple

from milepost import Context, Milepost
from milepost.engine.names import Names
from milepost.engine.outbound import Outbound
from milepost.engine.reach import Reach
from milepost.http.dialects.known import dialects
from milepost.task import State
from tests.http.conftest import served

TENANT: Final = "1764"
"""A tenant that all dialects can name."""
GRANTS: Final[Mapping[str, str]] = {
    "user": f"{TENANT}:user",
    "member": f"{TENANT}:member",
    "admin": f"{TENANT}:admin",
    "service": "*:service",
    "foreign": "4471:user",
}
"""Of each key, by the name of its principal; those with less rights come first, but for the foreign one."""


class Serving(NamedTuple):
    """The server."""

    url: str
    standing: str
    """The id of a task that takes deliveries."""
    keys: Mapping[str, str]
    """By the name of their principal; none where everybody may call."""

    def users(self, folder: Path) -> Path:
        """Who may call, in a file as schemathesis reads it."""
        file = folder / "users.json"
        headers = {name: [{"name": "Authorization", "value": f"Bearer {key}"}] for name, key in self.keys.items()}
        file.write_text(json.dumps({"auth": [{"name": name, "fixedHeaders": headers[name]} for name in headers]}))
        return file


@asynccontextmanager
async def serving(folder: Path, *, keyed: bool = False) -> AsyncIterator[Serving]:
    """A server that is there while inside."""
    app = Milepost(folder / "milepost.db", files=folder / "files", files_root=folder)
    app._outbound = Outbound(Reach(), names=Names(nobody))  # the URLs of callbacks are anybody's
    ends = asyncio.Event()

    @app.task
    async def echo(ctx: Context, *, value: Any = None) -> Any:
        ctx.log("said", value=value)
        return value

    @app.task
    async def wait(ctx: Context, *, value: Any = None) -> None:
        while not ends.is_set() and not ctx.stopping:
            await ctx.checkpoint(value)
            await asyncio.sleep(0.01)
        await ctx.checkpoint(value)

    @app.task
    async def pipeline(*, components: list[dict[str, Any]]) -> int:
        return len(components)

    async with app.opened():
        worker = app.worker(grace=1)
        working = asyncio.create_task(worker.run())
        try:
            owner, tenant = ("user", TENANT) if keyed else (None, None)
            standing = await app.start("echo", owner=owner, tenant=tenant, runner="external", state=State.RUNNING)
            keyring = app._service_here().keys
            grants = GRANTS if keyed else {}
            keys = {name: (await keyring.add(name, [grant]))[1] for name, grant in grants.items()}
            web = app.asgi(dialects())
            web.stopping.set()  # what would wait or follow for minutes answers with what there is
            async with served(web, web.stop, http="httptools") as url:
                yield Serving(url, standing.id, keys)
        finally:
            ends.set()
            worker.stop()
            await working


def nobody(host: str, port: int) -> list[str]:
    """Resolves no name."""
    return []
