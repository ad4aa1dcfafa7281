"""``./roost test``: the rules that a machine keeps, then the tests."""

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

# More than there are cores: tests of services wait for a database half of their time.
WHOLE = ("-q", "-n", "3", "--dist", "loadfile")
ROOT = Path(__file__).resolve().parent.parent


def run_tests(arguments: Sequence[str]) -> int:
    """Checks the architecture's import rules and runs pytest in three processes; answers the exit code.

    With arguments only pytest runs, with these, in one process.
    """
    if not arguments:
        rules = subprocess.run([Path(sys.executable).parent / "lint-imports", "--no-cache"], cwd=ROOT, check=False)
        if rules.returncode:
            return rules.returncode
    command = [sys.executable, "-m", "pytest", *(arguments or WHOLE)]
    # Tests start dozens of processes: where nothing compiled is kept, each would compile everything again.
    # What this start has installed is none of the starts that tests make and time.
    environment = {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        "PYTHONDONTWRITEBYTECODE": "",
        "ROOST_INSTALL_SECONDS": "0",
    }
    return subprocess.run(command, cwd=ROOT, env=environment, check=False).returncode
