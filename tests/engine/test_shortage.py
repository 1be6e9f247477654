"""What is only lacking just now."""

import errno

import pytest

from milepost.engine.shortage import is_shortage
from tests.shortage import no_descriptor_left


def test_no_descriptor_is_a_shortage() -> None:
    with no_descriptor_left(), pytest.raises(OSError, match="Too many open files") as raised:
        open("/dev/null")  # noqa: PTH123, SIM115
    assert is_shortage(raised.value)


@pytest.mark.parametrize("number", [errno.EAGAIN, errno.ENOMEM, errno.ENFILE])
def test_so_is_no_memory_and_no_process(number: int) -> None:
    assert is_shortage(OSError(number, "lacking"))


def test_no_file_is_none() -> None:
    assert not is_shortage(FileNotFoundError(errno.ENOENT, "no such file"))
    assert not is_shortage(OSError("no number"))
