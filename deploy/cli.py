"""The command line: ``./roost …``. Reports go to stdout, progress and logs to stderr."""

from datetime import datetime
from enum import Enum
from pathlib import Path
from typing import Annotated, Literal

import typer

from deploy.dead_letters import app as dead_letters_app
from deploy.erasures import app as erasures_app
from deploy.options import DATA, DataDir
from deploy.statements import app as statements_app

app = typer.Typer(
    name="roost",
    help="Roost brings customers home: profiles, contacts, loyalty points and churn.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)
topics_app = typer.Typer(help="The broker's topics.", no_args_is_help=True)
bench_app = typer.Typer(help="The performance suite: ratios within one run.", no_args_is_help=True)
app.add_typer(topics_app, name="topics")
app.add_typer(bench_app, name="bench")
app.add_typer(dead_letters_app, name="dead-letters")
app.add_typer(erasures_app, name="erasure")
app.add_typer(statements_app, name="statement")

Port = Annotated[int, typer.Option(help="The HTTP port; 0 picks a free one.", min=0, max=65535)]
PostgresPort = Annotated[int, typer.Option(help="PostgreSQL's port; 0 picks a free one.", min=0, max=65535)]
BrokerPort = Annotated[int, typer.Option(help="The broker's port; 0 picks a free one.", min=0, max=65535)]
BrokerKind = Annotated[Literal["tansu", "kafka"], typer.Option(help="Embedded Tansu, or Apache Kafka (needs Java).")]
Json = Annotated[bool, typer.Option("--json", help="A JSON object on stdout.")]


class RoleName(Enum):
    """The parts of a service that may run as processes of their own."""

    API = "api"
    CONSUMER = "consumer"
    RELAY = "relay"
    JOBS = "jobs"


@app.command()
def up(
    data: DataDir = DATA,
    port: Port = 8000,
    postgres_port: PostgresPort = 0,
    broker_port: BrokerPort = 0,
    broker: BrokerKind = "tansu",
    clock: Annotated[
        datetime | None,
        typer.Option(
            formats=["%Y-%m-%dT%H:%M:%S%z"],
            help="Start a virtual clock here, e.g. 2026-11-22T09:00:00+08:00; set it forward by POST /clock/advance.",
        ),
    ] = None,
    json: Json = False,
) -> None:
    """Start PostgreSQL, a broker and all four services, and serve until Ctrl-C."""
    from deploy.system import Options
    from deploy.up import serve_embedded

    options = Options(data, port, postgres_port, broker_port, broker, clock)
    serve_embedded(options, json=json)


@app.command()
def demo(
    data: DataDir = DATA,
    port: Port = 8000,
    postgres_port: PostgresPort = 0,
    broker_port: BrokerPort = 0,
    broker: BrokerKind = "tansu",
    customers: Annotated[int | None, typer.Option(help="Only the first so many customers.", min=1)] = None,
    leave: Annotated[bool, typer.Option("--exit", help="End after the report.")] = False,
    json: Json = False,
) -> None:
    """Replay real purchases through all four services and report what a shop-keeper wants to see."""
    from deploy.demo.command import run_demo
    from deploy.system import Options

    run_demo(Options(data, port, postgres_port, broker_port, broker), customers=customers, leave=leave, json=json)


@app.command(context_settings={"allow_extra_args": True, "ignore_unknown_options": True})
def test(context: typer.Context) -> None:
    """Run the tests; arguments go to pytest."""
    from deploy.testing import run_tests

    raise typer.Exit(run_tests(context.args))


@app.command()
def serve(
    name: Annotated[str, typer.Argument(help="profile, engagement, loyalty or churn")],
    role: Annotated[
        list[RoleName] | None, typer.Option(help="Only this role; repeatable.")
    ] = None,
) -> None:
    """Run one service, as the environment describes it."""
    from deploy.serve import run_service

    run_service(name, [chosen.value for chosen in role or ()])


@app.command()
def migrate(
    names: Annotated[list[str] | None, typer.Argument(help="Services; all of them if none is named.")] = None,
) -> None:
    """Bring the databases of deployed services to the newest version, as their owners."""
    from deploy.serve import migrate_services

    migrate_services(names or [])


@topics_app.command("create")
def create_topics() -> None:
    """Create the topics that are missing on the deployed broker."""
    from deploy.serve import create_missing_topics

    create_missing_topics()


@app.command()
def token(
    scope: Annotated[str, typer.Option(help="Scopes, space-separated: admin, profile:read, …")],
    customer: Annotated[str | None, typer.Option(help="A token of this customer, who sees himself only.")] = None,
    data: DataDir = DATA,
    hours: Annotated[float, typer.Option(min=0.01, max=24 * 365)] = 12,
) -> None:
    """Print a development token, signed with the data directory's secret (or ROOST_HTTP_JWT_SECRET)."""
    from deploy.tokens import print_token

    print_token(data, scope, customer, hours)


@app.command("import")
def import_customers(
    file: Annotated[Path, typer.Argument(help="A .csv, .ndjson or .jsonl file.", exists=True, dir_okay=False)],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Check everything, write nothing.")] = False,
    charset: Annotated[Literal["utf-8", "gb18030"], typer.Option(help="How a .csv file is written.")] = "utf-8",
    as_of: Annotated[str | None, typer.Option(help="Since when rows are true, as 2026-11-20T00:00:00Z.")] = None,
    url: Annotated[str | None, typer.Option(help="A gateway; else the system of the data directory.")] = None,
    token: Annotated[str | None, typer.Option(help="For --url.", envvar="ROOST_TOKEN")] = None,
    data: DataDir = DATA,
) -> None:
    """Import a file of customers; tells the faults of its rows, and ends with 1 if there is one."""
    from deploy.importing import import_file
    from deploy.remote import at, remote

    if url and not token:
        raise typer.BadParameter("--url needs --token")
    system = at(url, token) if url and token else remote(data)
    whole = import_file(system, file, dry_run=dry_run, charset=charset, as_of=as_of)
    raise typer.Exit(0 if whole else 1)


@app.command("export")
def export_customer(
    customer_id: Annotated[str, typer.Argument(help="Any of his ids.")],
    out: Annotated[Path | None, typer.Option(help="Where to write it; else to stdout.", dir_okay=False)] = None,
    url: Annotated[str | None, typer.Option(help="A gateway; else the system of the data directory.")] = None,
    token: Annotated[str | None, typer.Option(help="For --url.", envvar="ROOST_TOKEN")] = None,
    data: DataDir = DATA,
) -> None:
    """Write everything that the four services hold of one person; ends with 1 if one of them doesn't answer."""
    from deploy.exporting import export_person
    from deploy.remote import at, remote

    if url and not token:
        raise typer.BadParameter("--url needs --token")
    export_person(at(url, token) if url and token else remote(data), customer_id, out)


@app.command()
def status(data: DataDir = DATA, json: Json = False) -> None:
    """Lag, outboxes, dead letters and row counts of the running system."""
    from deploy.status import show_status

    show_status(data, json=json)


@bench_app.command("flow")
def bench_flow(
    events: Annotated[int, typer.Option(help="Purchases to flow.", min=1_000)] = 50_000,
    broker: BrokerKind = "tansu",
    json: Json = False,
) -> None:
    """Purchases per second through each service and through all, against a floor and batches of one."""
    from deploy.bench.flow import run_flow

    run_flow(events, broker=broker, json=json)


@bench_app.command("profile")
def bench_profile(
    purchases: Annotated[int, typer.Option(help="Purchases of a turn with segments or without.", min=1_000)] = 50_000,
    customers: Annotated[int, typer.Option(help="Rows to import, and to search.", min=1_000)] = 200_000,
    night: Annotated[int, typer.Option(help="Customers of the nightly placing.", min=1_000)] = 1_000_000,
    quick: Annotated[bool, typer.Option("--quick", help="Little of everything: that it works, not how well.")] = False,
    json: Json = False,
) -> None:
    """Segments, the 360° view, imports, duplicates and the night, as ratios within one run."""
    from deploy.bench.profile.run import QUICK, Size, run_profile

    run_profile(QUICK if quick else Size(purchases, customers, night), json=json)


@bench_app.command("loyalty")
def bench_loyalty(
    purchases: Annotated[int, typer.Option(help="Purchases of a turn with 50 rules or one.", min=1_000)] = 20_000,
    customers: Annotated[int, typer.Option(help="Customers of the backtest.", min=100)] = 100_000,
    redemptions: Annotated[int, typer.Option(help="Redemptions, of one customer and of so many.", min=100)] = 10_000,
    quick: Annotated[bool, typer.Option("--quick", help="Little of everything: that it works, not how well.")] = False,
    json: Json = False,
) -> None:
    """Rules, reading an account, a backtest and redemptions, within one run."""
    from deploy.bench.loyalty.run import QUICK, Size, run_loyalty

    run_loyalty(QUICK if quick else Size(purchases, customers, redemptions), json=json)


if __name__ == "__main__":
    app(prog_name="./roost")
