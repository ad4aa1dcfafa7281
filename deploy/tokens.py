"""``./roost token``: development tokens."""

import os
from datetime import timedelta
from pathlib import Path

import typer

from deploy.local.secrets import load_or_create_secret
from shared.http.auth import issue_token


def print_token(data: Path, scope: str, customer: str | None, hours: float) -> None:
    """Prints a token, signed as the system of that data directory (or of the environment) expects."""
    secret = os.environ.get("ROOST_HTTP_JWT_SECRET") or load_or_create_secret(data)
    if not scope.strip():
        raise typer.BadParameter("name at least one scope, for example admin", param_hint="--scope")
    print(issue_token(secret, scope, customer, timedelta(hours=hours)))
