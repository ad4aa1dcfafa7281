"""Options that several commands take."""

from pathlib import Path
from typing import Annotated

import typer

DataDir = Annotated[Path, typer.Option("--data", help="The data directory.", envvar="ROOST_DATA")]
DATA = Path(".roost")
