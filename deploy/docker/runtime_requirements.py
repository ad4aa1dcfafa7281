"""Prints the project's runtime dependencies, without the extras for trials and tests: the image needs no more."""

import tomllib
from pathlib import Path

print("\n".join(tomllib.loads(Path("pyproject.toml").read_text())["project"]["dependencies"]))
