"""``./roost import FILE``: a file of customers, streamed to the running system, and its faults row by row."""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from deploy.remote import Remote

_MEDIA = {".csv": "text/csv", ".ndjson": "application/x-ndjson", ".jsonl": "application/x-ndjson"}
_PIECE = 256 * 1024
_PAUSE_SECONDS = 0.2
_SHOWN_FAULTS = 100
_OUTCOMES = ("created", "changed", "unchanged", "failed")


def import_file(system: Remote, path: Path, *, dry_run: bool, charset: str, as_of: str | None) -> bool:
    """Sends the file and waits for its last row; prints what became of it, and whether every row was taken.

    Raises typer.BadParameter where the file is refused.
    """
    media = _MEDIA.get(path.suffix.lower())
    if media is None:
        raise typer.BadParameter(f"{path.name}: a name ends in {', '.join(_MEDIA)}")
    err, out = Console(stderr=True), Console()
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=err) as progress:
        sending = progress.add_task("bytes sent", total=path.stat().st_size)

        def pieces() -> Iterator[bytes]:
            with path.open("rb") as file:
                while piece := file.read(_PIECE):
                    progress.advance(sending, len(piece))
                    yield piece

        job = system.send(
            "/profile/imports", pieces(), f"{media}; charset={charset}", dry_run=dry_run, name=path.name, as_of=as_of
        )
        working = progress.add_task("rows", total=job["rows"])
        while job["state"] in ("waiting", "running"):
            time.sleep(_PAUSE_SECONDS)
            job = system.get(f"/profile/imports/{job['id']}")
            progress.update(working, completed=job["done"])
    _print_faults(system, job, out)
    _print_differences(job, out)
    counted = ", ".join(f"{job[name]} {name}" for name in _OUTCOMES)
    again = f" The same bytes came before: {job['same_content_as']}." if job["same_content_as"] else ""
    out.print(
        f"{job['id']}{' (dry run)' if job['dry_run'] else ''}: {counted}.{again}",
        highlight=False,
        markup=False,
        soft_wrap=True,
    )
    return bool(job["failed"] == 0)


def _print_faults(system: Remote, job: dict[str, Any], out: Console) -> None:
    if not job["failed"]:
        return
    for place, fault in enumerate(system.pages(f"/profile/imports/{job['id']}/errors")):
        if place == _SHOWN_FAULTS:
            out.print(f"more: GET /profile/imports/{job['id']}/errors", highlight=False)
            break
        where = f"row {fault['row']} {fault['pointer'] or '/'}"
        out.print(f"{where}: {fault['code']}: {fault['detail']}", highlight=False, markup=False, soft_wrap=True)


def _print_differences(job: dict[str, Any], out: Console) -> None:
    for one in job["differences"]:
        fields = ", ".join(f"{field['field']}: {field['before']!r} -> {field['after']!r}" for field in one["fields"])
        line = f"row {one['row']} {one['customer_id']} {one['outcome']}: {fields}"
        out.print(line, highlight=False, markup=False, soft_wrap=True)
