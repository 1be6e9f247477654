"""How does a fault that the server found read to somebody who typed words and options?

The server names a place in a body, or a parameter, neither of which the command line has shown.
"""

from milepost.cli.records import Fault, Problem
from milepost.cli.terminal import on_one_line


def told(problem: Problem) -> str:
    """What is wrong, in one line; each fault by the option or the word that it is about."""
    faults = problem.errors
    text = " ".join(f"{_named(fault)}{fault.detail}" for fault in faults) or problem.detail or problem.title
    hint = " `milepost types` lists them." if any(fault.pointer == "/type" for fault in faults) else ""
    return on_one_line(text) + hint


def _named(fault: Fault) -> str:
    if fault.parameter is not None:
        return f"{_option(fault.parameter)}: "
    first, *rest = [step.replace("~1", "/").replace("~0", "~") for step in (fault.pointer or "").split("/")[1:]] or [""]
    if first == "input" and rest:
        return f"{'/'.join(rest)}: "
    if first == "trigger" and rest:
        first = rest[0]
    return f"{_option(first)}: " if first else ""


def _option(name: str) -> str:
    return "TYPE" if name == "type" else f"--{name.replace('_', '-').lower()}"
