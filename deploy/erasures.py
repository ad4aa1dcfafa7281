"""``./roost erasure``: checking receipts without a running system."""

import json
import os
from pathlib import Path
from typing import Annotated, Any

import typer
from pydantic import SecretStr

app = typer.Typer(help="Receipts of erasures.", no_args_is_help=True)

DataDir = Annotated[Path, typer.Option("--data", help="The data directory.", envvar="ROOST_DATA")]


@app.command()
def verify(
    file: Annotated[Path, typer.Argument(help="The receipt, or the JSON of GET /erasures/{id}.", exists=True)],
    key: Annotated[Path | None, typer.Option(help="The public key in PEM; by default that of --data.")] = None,
    data: DataDir = Path(".roost"),
) -> None:
    """Check a receipt's signature offline, and print what it says; exit code 1 if it was not signed here."""
    from services.profile.erasures.receipts import InvalidReceipt, verify

    try:
        said = verify(_receipt(file.read_text(encoding="utf-8")), key.read_text() if key else _public_key(data))
    except InvalidReceipt as error:
        print(f"{file}: no valid receipt: {error}")
        raise typer.Exit(1) from error
    print(json.dumps(said, indent=2))


@app.command("key")
def show_key(data: DataDir = Path(".roost")) -> None:
    """Print the public key that receipts are checked by, in PEM: for whoever must trust them without us."""
    print(_public_key(data), end="")


def _receipt(text: str) -> str:
    text = text.strip()
    if text.startswith("{"):
        erasure: dict[str, Any] = json.loads(text)
        return str(erasure.get("receipt") or "")
    return text


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
