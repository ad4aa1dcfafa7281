"""``./roost statement``: checking statements of points without a running system."""

import json
from pathlib import Path
from typing import Annotated

import typer

from deploy.keys import public_key_of
from deploy.options import DATA, DataDir

PURPOSE = "statements"

app = typer.Typer(help="Monthly statements of points.", no_args_is_help=True)


@app.command()
def verify(
    file: Annotated[
        Path,
        typer.Argument(help="The JSON of GET /accounts/{id}/statements?month=…", exists=True, dir_okay=False),
    ],
    key: Annotated[
        Path | None, typer.Option(help="The public key in PEM; by default that of --data.", exists=True, dir_okay=False)
    ] = None,
    data: DataDir = DATA,
) -> None:
    """Check a statement's signature and sums offline, and print what it comes to; exit code 1 if it isn't as signed."""
    from services.loyalty.statements.documents import InvalidStatement, verify

    pem = key.read_text(errors="replace") if key else public_key_of(data, PURPOSE)
    try:
        said = verify(file.read_bytes(), pem)
    except InvalidStatement as error:
        print(f"{file}: no valid statement: {error}")
        raise typer.Exit(1) from error
    shown = ("customer_id", "month", "opening", "closing", "chain")
    print(json.dumps({name: said[name] for name in shown}, indent=2, ensure_ascii=False))


@app.command("key")
def show_key(data: DataDir = DATA) -> None:
    """Print the public key that statements are checked by, in PEM: for whoever must trust them without us."""
    print(public_key_of(data, PURPOSE), end="")
