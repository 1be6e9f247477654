"""A process that ends a task, and then is killed: `python -m tests.engine.calling_process STORE URL [maintained]`.

It says the task's id once the end is committed. `maintained`: it tells of the end, as far as it lives to.
"""

import asyncio
import contextlib
import sys

from milepost import Context, Milepost
from milepost.access.principal import LOCAL

app = Milepost(sys.argv[1], callback_allow=["127.0.0.1"])


@app.task
async def work(ctx: Context) -> None:
    """Never runs: no worker is there."""


async def main() -> None:
    """End a task, say so, and wait to be killed."""
    async with app.opened() as service, contextlib.AsyncExitStack() as stack:
        task = await app.start("work", callback=sys.argv[2])
        await service.cancel(LOCAL, task.id)
        if "maintained" in sys.argv:
            await stack.enter_async_context(app.maintenance())
        sys.stdout.write(f"{task.id}\n")
        sys.stdout.flush()
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main())
