"""The schemas as they were: in a folder, or committed under a git ref."""

import io
import json
import subprocess
import tarfile
from pathlib import Path
from typing import Any


def in_folder(folder: Path) -> dict[str, Any]:
    """The schemas in a folder by file name. Raises ValueError where one is no JSON."""
    return {path.name: json.loads(path.read_text(encoding="utf-8")) for path in sorted(folder.glob("*.json"))}


def committed(contracts: Path, ref: str) -> dict[str, Any] | None:
    """The schemas below the contracts' folder at a git ref; None without git, the ref, or schemas in it."""
    try:
        packed = subprocess.run(
            ["git", "archive", "--format=tar", "--end-of-options", ref, "schemas"],
            cwd=contracts,
            capture_output=True,
            check=True,
        ).stdout
    except (OSError, subprocess.CalledProcessError):
        return None
    with tarfile.open(fileobj=io.BytesIO(packed)) as archive:
        files = ((Path(entry.name).name, archive.extractfile(entry)) for entry in archive)
        return {name: json.load(file) for name, file in files if file is not None and name.endswith(".json")}
