"""A TCP proxy that does to connections what networks do: it breaks them off, or takes none."""

import socket
import threading
from contextlib import suppress
from types import TracebackType
from typing import Self


class Proxy:
    """Forwards to a port of this machine. Each connection is cut after so many bytes from the server as `cuts` says,
    one number a connection; those beyond its end live. `refuse` closes connections as soon as they come.
    """

    def __init__(self, port: int, *, cuts: tuple[int, ...] = (), refuse: int = 0) -> None:
        self._target = port
        self._cuts = list(cuts)
        self._refuse = refuse
        self.connections = 0
        self._passed = bytearray()
        self._news = threading.Condition()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self._thread = threading.Thread(target=self._accept, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        self._listener.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                self.connections += 1
                if self._refuse:
                    self._refuse -= 1
                    client.close()
                    continue
                cut = self._cuts.pop(0) if self._cuts else None
                server = socket.create_connection(("127.0.0.1", self._target))
                threading.Thread(target=self._pump, args=(client, server, None), daemon=True).start()
                threading.Thread(target=self._pump, args=(server, client, cut), daemon=True).start()

    def wait_for(self, text: bytes) -> None:
        """Wait until `text` has been sent, by whomever."""
        with self._news:
            assert self._news.wait_for(lambda: text in self._passed, 60)

    def _pump(self, source: socket.socket, sink: socket.socket, cut: int | None) -> None:
        """Forward until either side closes, or `cut` bytes have passed; then break both off."""
        passed = 0
        with source, sink, suppress(OSError):
            while data := source.recv(1 << 16):
                data = data if cut is None else data[: cut - passed]
                passed += len(data)
                sink.sendall(data)
                with self._news:
                    self._passed += data
                    self._news.notify_all()
                if passed == cut:
                    break
            for end in (source, sink):
                with suppress(OSError):
                    end.shutdown(socket.SHUT_RDWR)
