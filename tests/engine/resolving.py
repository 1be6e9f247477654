"""Who resolves names in tests: at once, or not before a test lets it."""

import threading
from collections.abc import Sequence


class Known:
    """A resolver whose answers a test decides; each is given once, the last one from then on."""

    def __init__(self, *answers: Sequence[str] | OSError) -> None:
        self.answers = list(answers)
        self.asked: list[tuple[str, int]] = []

    def __call__(self, host: str, port: int) -> Sequence[str]:
        self.asked.append((host, port))
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, OSError):
            raise answer
        return answer


class Hung:
    """One that gives no answer until the end, and then that nothing is known."""

    def __init__(self, names: str = "") -> None:
        """`names`: how the names end that it hangs on; others are 127.0.0.1."""
        self.names = names
        self.asked: list[str] = []
        self._over = threading.Event()

    def __call__(self, host: str, port: int) -> Sequence[str]:
        self.asked.append(host)
        if host.endswith(self.names):
            self._over.wait()
            return []
        return ["127.0.0.1"]

    def end(self) -> None:
        self._over.set()
