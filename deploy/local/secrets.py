"""What only the owner of a data directory may read."""

import fcntl
import os
from pathlib import Path
from secrets import token_urlsafe
from tempfile import NamedTemporaryFile


def load_or_create_secret(data_dir: Path, name: str = "secret") -> str:
    """A secret of a data directory, 64 URL-safe characters in `data_dir/secret` (0600), made on first use.

    Long enough for HS256 (RFC 7518, 3.2 asks for 256 bits). Processes that start together get the same one.
    """
    data_dir.mkdir(parents=True, exist_ok=True)
    fd = os.open(data_dir / name, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
        secret = os.pread(fd, 100, 0).decode().strip()
        if len(secret) < 64:
            secret = new_password()
            os.pwrite(fd, f"{secret}\n".encode(), 0)
            os.fsync(fd)
        return secret
    finally:
        os.close(fd)


def new_password() -> str:
    """64 random characters that need no quoting in a URL or in SQL."""
    return token_urlsafe(48)


def write_private(path: Path, text: str) -> None:
    """Replace a file by `text`, mode 0600, in one step: after a crash the old or the new text is there."""
    with NamedTemporaryFile("w", dir=path.parent, prefix=f".{path.name}-", delete=False) as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    os.replace(file.name, path)
