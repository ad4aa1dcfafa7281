"""The first ``./roost`` in a fresh tree: it says what is missing, and several at once install once."""

import asyncio
import os
import shutil
import sys
from asyncio.subprocess import PIPE
from pathlib import Path

import pytest

from tests.integration.local.children import ROOT

TOOLS = ("sh", "dirname", "cmp", "cat", "mkdir", "rmdir", "rm", "cp", "sleep")


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A tree that needs what a new environment has, and whose command line says that it ran."""
    shutil.copy(ROOT / "roost", tmp_path / "roost")
    (tmp_path / "requirements.lock").write_text("pip\n")
    (tmp_path / "deploy").mkdir()
    (tmp_path / "deploy" / "cli.py").write_text("print('it ran')\n")
    return tmp_path


async def roost(tree: Path, **environment: str) -> tuple[int | None, str, str]:
    process = await asyncio.create_subprocess_exec(
        str(tree / "roost"), "status", env={"PATH": os.environ["PATH"], **environment}, stdout=PIPE, stderr=PIPE
    )
    async with asyncio.timeout(120):
        out, err = await process.communicate()
    return process.returncode, out.decode(), err.decode()


@pytest.fixture
def bare_path(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A PATH with what the script calls, and no Python."""
    folder = tmp_path_factory.mktemp("bin")
    for name in TOOLS:
        found = shutil.which(name)
        assert found, name
        (folder / name).symlink_to(found)
    return str(folder)


async def test_without_python_it_says_what_it_needs(tree: Path, bare_path: str) -> None:
    code, out, err = await roost(tree, PATH=bare_path)
    assert (code, out) == (1, "")
    assert err.startswith("roost: needs Python 3.11 or newer")
    assert not (tree / ".venv.lock").exists()


async def test_a_named_python_that_is_too_old_is_refused_and_no_other_taken(tree: Path) -> None:
    old = tree / "old python"
    old.write_text("#!/bin/sh\nexit 1\n")
    old.chmod(0o755)
    code, _, err = await roost(tree, ROOST_PYTHON=str(old))
    assert code == 1
    assert f"ROOST_PYTHON={old} is none: needs Python 3.11" in err


async def test_without_network_it_says_so_and_the_next_start_tries_again(tree: Path) -> None:
    (tree / "requirements.lock").write_text("a-package-of-nobody==1.0\n")
    code, out, err = await roost(tree, PIP_INDEX_URL="http://127.0.0.1:9/", PIP_RETRIES="0")
    assert (code, out) == (1, "")
    assert "is the network there?" in err
    assert "Traceback" not in err
    (tree / "requirements.lock").write_text("pip\n")
    assert (await roost(tree))[:2] == (0, "it ran\n")


async def test_several_first_starts_install_once_though_an_install_was_killed_before(tree: Path) -> None:
    ended = await asyncio.create_subprocess_exec(sys.executable, "-c", "")
    await ended.wait()
    (tree / ".venv.lock").mkdir()
    (tree / ".venv.lock" / "pid").write_text(f"{ended.pid}\n")
    told = await asyncio.gather(*(roost(tree) for _ in range(3)))
    assert [(code, out) for code, out, _ in told] == [(0, "it ran\n")] * 3
    assert sum("first start" in err for _, _, err in told) == 1
    code, out, err = await roost(tree)
    assert (code, out, err) == (0, "it ran\n", "")
    assert not (tree / ".venv.lock").exists()
