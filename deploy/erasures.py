"""``./roost erasure``: checking receipts without a running system."""

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from deploy.keys import public_key_of
from deploy.options import DATA, DataDir

PURPOSE = "receipts"

app = typer.Typer(help="Receipts of erasures.", no_args_is_help=True)


@app.command()
def verify(
    file: Annotated[
        Path, typer.Argument(help="The receipt, or the JSON of GET /erasures/{id}.", exists=True, dir_okay=False)
    ],
    key: Annotated[
        Path | None, typer.Option(help="The public key in PEM; by default that of --data.", exists=True, dir_okay=False)
    ] = None,
    data: DataDir = DATA,
) -> None:
    """Check a receipt's signature offline, and print what it says; exit code 1 if it was not signed here."""
    from services.profile.erasures.receipts import InvalidReceipt, verify

    pem = key.read_text(errors="replace") if key else public_key_of(data, PURPOSE)
    try:
        said = verify(_receipt(file.read_bytes()), pem)
    except InvalidReceipt as error:
        print(f"{file}: no valid receipt: {error}")
        raise typer.Exit(1) from error
    print(json.dumps(said, indent=2))


@app.command("key")
def show_key(data: DataDir = DATA) -> None:
    """Print the public key that receipts are checked by, in PEM: for whoever must trust them without us."""
    print(public_key_of(data, PURPOSE), end="")


def _receipt(content: bytes) -> str:
    from services.profile.erasures.receipts import InvalidReceipt

    text = content.decode(errors="replace").strip()
    if not text.startswith("{"):
        return text
    try:
        erasure: dict[str, Any] = json.loads(text)
    except ValueError as error:
        raise InvalidReceipt(f"it begins as JSON, and is none: {error}") from error
    if missing := erasure.get("missing"):
        raise InvalidReceipt(f"there is none yet: {', '.join(missing)} must answer first, then read the erasure again")
    return str(erasure.get("receipt") or "")
