import asyncio
from tests.engine.bench import Bench
from milepost import Context, BlockingContext
from tests.engine import jobs

async def test_basic(bench: Bench):
    @bench.app.task
    async def add(ctx: Context, *, a: int, b: int = 2) -> int:
        ctx.progress(1, 3, message="one"); ctx.log("hello", x=1)
        await ctx.checkpoint({"r": 1})
        return a + b
    @bench.app.task
    def sub(ctx: BlockingContext, *, a: int) -> int:
        ctx.log("hello", x=1)
        ctx.checkpoint({"r": 1})
        return a -1
    bench.app.include(jobs.app)
    async with bench.working():
        t = await bench.start("add", {"a": 3})
        e = await bench.end(t)
        assert await bench.result(t) == 5
        t = await bench.start("sub", {"a": 3})
        e = await bench.end(t)
        assert await bench.result(t) == 2
        import time
        t0=time.time()
        t = await bench.start("mul", {"a": 3})
        e = await bench.end(t)
        print(time.time()-t0)
        print(await bench.entries(t))
        print(e, await bench.traceback(t)); assert await bench.result(t) == 6
        print(e)
