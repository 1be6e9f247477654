"""Somebody's application with Milepost in it, for real servers in processes of their own."""

import asyncio
import os
from functools import partial

from fastapi import FastAPI

from milepost import Context, Milepost

app = Milepost(os.environ.get("SHOP_STORE"))
web = FastAPI(lifespan=partial(app.lifespan_with_worker, grace=float(os.environ.get("SHOP_GRACE", "25"))))
web.mount("/operations", app.asgi())


@app.task
async def where(ctx: Context) -> int:
    """In which process tasks run."""
    return os.getpid()


@app.task
async def spin(ctx: Context) -> None:
    """Goes on until it is stopped, and says where."""
    n = ctx.saved or 0
    while True:
        n += 1
        ctx.progress(message=f"in {os.getpid()}")
        await ctx.checkpoint(n)
        await asyncio.sleep(0.005)


@app.task
async def hang(ctx: Context) -> None:
    """Hears of nothing."""
    ctx.progress(message="hanging")
    await asyncio.Event().wait()


@web.post("/orders")
async def order() -> str:
    """A route of theirs that starts a task."""
    return (await app.start("where")).id
