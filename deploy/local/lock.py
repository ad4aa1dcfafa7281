"""One live instance a data directory."""

import fcntl
import os
import sys
from pathlib import Path
from types import TracebackType
from typing import Self


class DirectoryInUse(RuntimeError):
    """Another live process holds the data directory; the message names it."""


class DirectoryLock:
    """Holds a data directory for this process: `DirectoryLock(path).acquire()` or `with DirectoryLock(path)`.

    An flock, so the kernel lets go of it however the process ends; the file's text only names the holder.
    Children do not inherit it. Raises DirectoryInUse when another instance holds the directory.
    """

    def __init__(self, data_dir: Path) -> None:
        self._path = data_dir / "lock"
        self._fd: int | None = None

    def acquire(self) -> Self:
        """Create the directory if need be and take the lock without waiting; DirectoryInUse if it is held."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        fd = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            pid, _, name = os.pread(fd, 200, 0).decode(errors="replace").strip().partition(" ")
            os.close(fd)
            raise DirectoryInUse(
                f"{self._path.parent} is in use by process {pid or 'unknown'} ({name or 'unknown'}); "
                "stop it, or choose another data directory"
            ) from None
        os.ftruncate(fd, 0)
        os.pwrite(fd, f"{os.getpid()} {Path(sys.argv[0]).name or 'python'}\n".encode(), 0)
        self._fd = fd
        return self

    def release(self) -> None:
        """Let go; a second call does nothing. The file stays: deleting it would let two processes hold it."""
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None

    def __enter__(self) -> Self:
        return self.acquire()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()
