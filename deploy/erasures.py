"""``./roost erasure``: checking receipts without a running system."""

import json
import os
from pathlib import Path
from typing import Annotated, Any

import typer
from pydantic import SecretStr

from deploy.options import DATA, DataDir

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

    try:
        said = verify(_receipt(file.read_bytes()), key.read_text(errors="replace") if key else _public_key(data))
    except InvalidReceipt as error:
        print(f"{file}: no valid receipt: {error}")
        raise typer.Exit(1) from error
    print(json.dumps(said, indent=2))


@app.command("key")
def show_key(data: DataDir = DATA) -> None:
    """Print the public key that receipts are checked by, in PEM: for whoever must trust them without us."""
    print(_public_key(data), end="")


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


def _public_key(data: Path) -> str:
    """By the environment of a deployed system, or the secret of a data directory that is there."""
    from deploy.environment import HttpEnvironment
    from deploy.local.secrets import load_or_create_secret
    from services.profile.erasures.receipts import public_key
    from shared.http.settings import HttpSettings
    from shared.service import secret_for
    from shared.settings import HouseSettings

    house = HouseSettings()
    if any(os.environ.get(name) for name in ("ROOST_HTTP_JWT_SECRET", "ROOST_HTTP_JWKS_URL")):
        http: HttpSettings = HttpEnvironment()
    elif (data / "secret").exists():
        http = HttpSettings(jwt_secret=SecretStr(load_or_create_secret(data)))
    else:
        raise typer.BadParameter(f"{data} has no secret: name the data directory, or the public key by --key")
    return public_key(secret_for(house, http, "receipts"))
