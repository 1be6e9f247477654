"""Which task is run when only Milepost's own share of the time is of interest?"""

from milepost import Milepost

app = Milepost()


@app.task
async def add_one(number: int) -> int:
    """Give the number that follows."""
    return number + 1
