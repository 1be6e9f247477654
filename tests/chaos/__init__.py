"""Do the promises hold while workers, servers, disk and clock fail at random?

`python -m tests.chaos --minutes 30 --seed 7` runs it for long; test_chaos.py does for a minute whenever the suite runs.
"""
