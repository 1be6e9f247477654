"""Whose certificates does a client believe?"""

import ssl
from pathlib import Path

import httpx2


def trusted(ca: Path | None) -> ssl.SSLContext:
    """What a server's certificate is checked with: the authorities in the PEM file `ca`, and no others.

    Without one those that `SSL_CERT_FILE` or `SSL_CERT_DIR` names, else the system's. Raises ValueError for a file that
    can't be read, or has none in it.
    """
    try:
        return httpx2.create_ssl_context() if ca is None else ssl.create_default_context(cafile=ca)
    except OSError as error:  # ssl.SSLError is one too
        where = "SSL_CERT_FILE" if ca is None else str(ca)
        why = "there is no certificate in it" if isinstance(error, ssl.SSLError) else error.strerror
        raise ValueError(f"{where} can't be used ({why}).") from error


def is_distrusted(error: BaseException | None) -> bool:
    """Whether a connection failed because the server's certificate is not to be believed."""
    while error is not None and not isinstance(error, ssl.SSLCertVerificationError):
        error = error.__cause__ or error.__context__
    return error is not None
