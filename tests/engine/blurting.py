"""Task types that tell what they should keep to themselves."""

import logging

from milepost import BlockingContext, Context, Milepost, Secret

app = Milepost()
log = logging.getLogger("tests.blurting")


@app.task
async def blurt(ctx: Context, *, password: Secret[str]) -> None:
    """On the worker's loop."""
    tell(ctx, password)


@app.task
def blurt_in_thread(ctx: BlockingContext, *, password: Secret[str]) -> None:
    """In a thread."""
    tell(ctx, password)


@app.task(runner="process")
def blurt_apart(ctx: BlockingContext, *, password: Secret[str]) -> None:
    """In a process of its own."""
    tell(ctx, password)


def tell(ctx: Context | BlockingContext, password: str) -> None:
    """In every way that there is."""
    ctx.log(f"got {password}", all=[{password: password}])
    ctx.progress(message=f"trying {password}")
    log.warning("with %s", password)
    try:
        raise LookupError(password)
    except LookupError:
        log.exception("caught")
    raise ValueError(f"{password} is wrong")
