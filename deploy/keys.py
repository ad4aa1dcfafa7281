"""The keys that signed documents are checked by, without a running system."""

import os
from pathlib import Path

import typer
from pydantic import SecretStr


def public_key_of(data: Path, purpose: str) -> str:
    """In PEM: by the environment of a deployed system, or the secret of a data directory that is there."""
    from deploy.environment import HttpEnvironment
    from deploy.local.secrets import load_or_create_secret
    from shared.http.settings import HttpSettings
    from shared.service import secret_for
    from shared.settings import HouseSettings
    from shared.signing import public_key

    house = HouseSettings()
    if any(os.environ.get(name) for name in ("ROOST_HTTP_JWT_SECRET", "ROOST_HTTP_JWKS_URL")):
        http: HttpSettings = HttpEnvironment()
    elif (data / "secret").exists():
        http = HttpSettings(jwt_secret=SecretStr(load_or_create_secret(data)))
    else:
        raise typer.BadParameter(f"{data} has no secret: name the data directory, or the public key by --key")
    return public_key(secret_for(house, http, purpose))
