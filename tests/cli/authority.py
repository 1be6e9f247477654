"""A certificate authority of the tests' own, and what it vouches for."""

import ssl
from pathlib import Path

import trustme
from trustme import CA


class Authority:
    """Issues certificates into a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._ca = CA()
        self.file = folder / "authority.pem"
        self._ca.cert_pem.write_to_path(self.file)

    def issue(self, *names: str) -> trustme.LeafCert:
        """A certificate for these names, by default those of this machine."""
        return self._ca.issue_cert(*(names or ("localhost", "127.0.0.1", "::1")))

    def files(self, *names: str) -> tuple[Path, Path]:
        """The chain and the key of a new one, in files that take the place of those before."""
        issued = self.issue(*names)
        chain, key = self.folder / "chain.pem", self.folder / "key.pem"
        for path, blobs in ((chain, issued.cert_chain_pems), (key, [issued.private_key_pem])):
            written = path.with_suffix(".new")
            written.write_bytes(b"".join(blob.bytes() for blob in blobs))
            written.replace(path)
        return chain, key

    def context(self) -> ssl.SSLContext:
        """For a server."""
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        self.issue().configure_cert(context)
        return context
