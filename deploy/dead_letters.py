"""``./roost dead-letters``: what the services could not apply, and applying it after all."""

from typing import TYPE_CHECKING, Annotated

import typer

from deploy.options import DATA, DataDir

if TYPE_CHECKING:
    from deploy.remote import Remote

app = typer.Typer(help="Events that a service could not apply.", no_args_is_help=True)

ServiceName = Annotated[str | None, typer.Option("--service", help="Only this service.")]


@app.command("list")
def show(data: DataDir = DATA, service: ServiceName = None) -> None:
    """What waits, newest first, with code, pointer and the first of its bytes."""
    from rich.console import Console
    from rich.table import Table

    from deploy.remote import remote

    system = remote(data)
    table = Table("service", "id", "topic", "code", "pointer", "times", "detail", "value")
    for name in _chosen(service):
        for letter in system.pages(f"/{name}/dead-letters"):
            value = (letter["value"] or "")[:60]
            cells = [name, letter["id"], letter["topic"], letter["code"], letter["pointer"], letter["times"]]
            table.add_row(*map(str, cells), letter["detail"], value)
    Console().print(table)


@app.command()
def replay(
    ids: Annotated[list[int] | None, typer.Argument(help="Letters' ids; all that wait if none is named.")] = None,
    data: DataDir = DATA,
    service: ServiceName = None,
) -> None:
    """Apply letters again, after their fault was mended; tells which still fail."""
    from deploy.remote import remote

    if ids and service is None:
        raise typer.BadParameter("ids belong to a service: name it with --service")
    system = remote(data)
    failed = 0
    for name in _chosen(service):
        wanted = ids or [letter["id"] for letter in system.pages(f"/{name}/dead-letters")]
        failed += sum(not _replayed(system, name, id) for id in wanted)
    raise typer.Exit(1 if failed else 0)


def _replayed(system: "Remote", service: str, id: int) -> bool:
    try:
        system.post(f"/{service}/dead-letters/{id}/replay")
    except typer.BadParameter as error:
        print(f"{service} {id}: {error}")
        return False
    print(f"{service} {id}: applied")
    return True


def _chosen(service: str | None) -> tuple[str, ...]:
    from shared.contracts.topics import SERVICES

    if service is not None and service not in SERVICES:
        raise typer.BadParameter(f"choose one of {', '.join(SERVICES)}", param_hint="--service")
    return (service,) if service else SERVICES
