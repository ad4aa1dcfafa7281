"""``./roost status``: how a running system is doing."""

import json as jsonlib
from pathlib import Path

from rich.console import Console
from rich.table import Table

from deploy.remote import remote
from shared.contracts.topics import SERVICES


def show_status(data: Path, *, json: bool) -> None:
    """Prints lag, outbox, dead letters and row counts of every service."""
    found = remote(data).get("/status")
    if json:
        print(jsonlib.dumps(found))
        return
    table = Table("service", "lag", "outbox", "oldest (s)", "dead letters", "applied", "duplicates", "state")
    for name in SERVICES:
        row = found["services"][name]
        states = ", ".join(f"{part} {state}" for part, state in row["states"].items())
        numbers = ("lag", "outbox", "outbox_age_seconds", "dead_letters", "applied", "duplicate")
        table.add_row(name, *(str(row[number]) for number in numbers), states)
    rows = Table("service", "table", "rows (estimate)")
    for name in SERVICES:
        for relation, n in found["services"][name]["rows"].items():
            rows.add_row(name, relation, str(n))
    out = Console()
    out.print(table, rows)
    out.print(f"broker memory {found['broker_mb']} MB" if found["broker_mb"] else "broker memory unknown")


