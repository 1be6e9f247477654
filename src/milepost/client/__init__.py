"""How do programs talk to a server over HTTP?

Code is written once, for asyncio, in the modules that end in `_async`; `scripts/sync` makes the blocking ones of it.
"""
