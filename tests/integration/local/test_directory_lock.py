import os
import re
from pathlib import Path
from stat import S_IMODE

import pytest

from deploy.local.lock import DirectoryInUse, DirectoryLock
from deploy.local.secrets import load_or_create_secret
from tests.integration.local.children import holder

HOLD = """
from deploy.local.lock import DirectoryLock
class Holder:
    async def start(path): return DirectoryLock(path).acquire()
"""


@pytest.mark.asyncio
async def test_a_directory_held_by_a_live_process_is_refused_and_free_once_that_is_killed(
    tmp_path: Path,
) -> None:
    async with holder(tmp_path, "Holder", "0", HOLD) as (pid, _):
        with pytest.raises(DirectoryInUse, match=re.escape(f"process {pid} (-c)")):
            DirectoryLock(tmp_path).acquire()
    with DirectoryLock(tmp_path):
        assert (tmp_path / "lock").read_text().startswith(f"{os.getpid()} ")


def test_a_released_directory_can_be_taken_again(tmp_path: Path) -> None:
    with DirectoryLock(tmp_path), pytest.raises(DirectoryInUse):
        DirectoryLock(tmp_path).acquire()
    DirectoryLock(tmp_path).acquire().release()


def test_the_secret_of_a_directory_is_made_once_and_private(tmp_path: Path) -> None:
    secret = load_or_create_secret(tmp_path / "data")
    assert len(secret) == 64
    assert load_or_create_secret(tmp_path / "data") == secret
    assert load_or_create_secret(tmp_path / "other") != secret
    assert S_IMODE((tmp_path / "data" / "secret").stat().st_mode) == 0o600


def test_a_secret_cut_short_by_a_crash_is_made_anew(tmp_path: Path) -> None:
    (tmp_path / "secret").touch()
    assert len(load_or_create_secret(tmp_path)) == 64
