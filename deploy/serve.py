"""What runs in production: one service in its roles, migrations, topics; all told by the environment."""

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from functools import partial
from typing import TypeVar

import typer
import uvloop
from pydantic import SecretStr, ValidationError
from sqlalchemy.engine import make_url

from deploy.environment import ServerSettings, deployed
from deploy.server import listen, serving
from deploy.up import progress, run, stop_on_signals
from shared.contracts.topics import SERVICES
from shared.messaging import kafka
from shared.observability import configure_logging
from shared.service import ROLES
from shared.settings import KafkaSettings

Read = TypeVar("Read")


def run_service(name: str, roles: Sequence[str]) -> None:
    """Runs a service's roles (all of them if none is named) until SIGTERM or SIGINT.

    Health and metrics are served in every role; the service's own routes too, since they cost nothing.
    """
    from deploy.catalogue import entry

    server = _checked(ServerSettings)
    configure_logging(json=True, level=server.log_level)
    found = _checked(partial(deployed, name))

    async def main() -> None:
        stopped = stop_on_signals()
        service = entry(name).build(found.surroundings, found.settings)
        async with contextlib.AsyncExitStack() as stack:
            stack.push_async_callback(service.stop)
            listener = stack.enter_context(contextlib.closing(listen(server.host, server.port)))
            await service.start([role for role in ROLES if not roles or role in roles])
            await stack.enter_async_context(serving(service.app, listener, server.root_path))
            await stopped.wait()

    run(main())


def migrate_services(names: Sequence[str]) -> None:
    """Migrates each service's database with ``<NAME>_DATABASE_OWNER_URL``, for the role of ``<NAME>_DATABASE_URL``."""
    from shared.migrations import upgrade

    for name in names or SERVICES:
        settings = _checked(partial(deployed, name)).settings
        owner = settings.database_owner_url.get_secret_value()
        if not owner:
            raise typer.BadParameter(f"set {name.upper()}_DATABASE_OWNER_URL to migrate {name}")
        role = make_url(settings.database_url.get_secret_value() or owner).username or ""
        secrets = {field: value.get_secret_value() for field, value in settings if isinstance(value, SecretStr)}
        uvloop.run(upgrade(name, owner, role, secrets))
        progress.print(f"roost: {name} is at the newest version", highlight=False)


def create_missing_topics() -> None:
    """Creates what is missing on ``ROOST_KAFKA_BOOTSTRAP_SERVERS``."""
    created = asyncio.run(kafka.create_topics(_checked(KafkaSettings)))
    progress.print(f"roost: {len(created)} topics created", highlight=False)


def _checked(settings: Callable[[], Read]) -> Read:
    """The settings; ends the command with what is wrong with them."""
    try:
        return settings()
    except (ValidationError, ValueError) as error:
        problems = (
            [f"{'.'.join(map(str, each['loc'])) or 'settings'}: {each['msg']}" for each in error.errors()]
            if isinstance(error, ValidationError)
            else [str(error)]
        )
        for problem in problems:
            progress.print(f"roost: {problem}", markup=False, highlight=False)
        raise typer.Exit(2) from None
