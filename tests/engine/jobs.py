from milepost import BlockingContext, Milepost
app = Milepost()
@app.task(runner="process")
def mul(ctx: BlockingContext, *, a: int) -> int:
    ctx.log("hello")
    ctx.checkpoint(3)
    return a * 2
