"""The service of the tests of HTTP, for whole requests."""

from tests.http.conftest import clock, service, timer

__all__ = ["clock", "service", "timer"]
