"""The tables of targets, a row a version, and of the figures as first reported; neither is ever changed."""

from collections.abc import Mapping
from datetime import date, datetime

import msgspec

from services.profile.periods import Period
from services.profile.reports.domain import Figures, Report, Target
from shared.db import Tx, columns, execute, fetch

_REPORT = """
SELECT CAST(figures AS text) AS figures, definition_version, reported_at FROM kpi_reports
WHERE kpi = :kpi AND period_from = :since AND period_to = :until
"""
_KEEP = """
INSERT INTO kpi_reports (kpi, period_from, period_to, definition_version, figures, reported_at)
SELECT kpi, :since, :until, version, CAST(figures AS jsonb), :now
FROM unnest(CAST(:kpis AS text[]), CAST(:versions AS int[]), CAST(:figures AS text[])) AS new (kpi, version, figures)
ORDER BY kpi ON CONFLICT DO NOTHING
"""
_LAST = "SELECT max(period_to) AS last FROM kpi_reports"
_FIELDS = "kpi, period_from AS since, period_to AS until, target, version, set_at"
_NEWEST = f"""
SELECT {_FIELDS} FROM kpi_targets WHERE kpi = :kpi AND period_from = :since AND period_to = :until
ORDER BY version DESC LIMIT 1
"""
_TARGETS = f"""
SELECT DISTINCT ON (period_from, period_to) {_FIELDS} FROM kpi_targets
WHERE kpi = :kpi AND (CAST(:since AS date) IS NULL OR (period_from, period_to) > (:since, :until))
ORDER BY period_from, period_to, version DESC LIMIT :limit
"""
_HOLD = "SELECT pg_advisory_xact_lock(hashtextextended('roost.target.' || :kpi, 0))"
_ADD = """
INSERT INTO kpi_targets (kpi, period_from, period_to, version, target, set_at)
VALUES (:kpi, :since, :until, :version, :target, :set_at)
"""


async def report(tx: Tx, kpi: str, period: Period) -> Report | None:
    """What was first reported of a period."""
    rows = await fetch(tx, _REPORT, kpi=kpi, since=period.since, until=period.until)
    if not rows:
        return None
    figures = msgspec.json.decode(rows[0]["figures"], type=Figures)
    return Report(figures, rows[0]["definition_version"], rows[0]["reported_at"])


async def keep(tx: Tx, period: Period, reported: Mapping[str, tuple[int, Figures]], now: datetime) -> None:
    """Writes down the figures of a period, unless they were reported before."""
    rows = [(kpi, version, msgspec.json.encode(figures).decode()) for kpi, (version, figures) in reported.items()]
    kpis, versions, figures = columns(rows, 3)
    await execute(
        tx, _KEEP, since=period.since, until=period.until, kpis=kpis, versions=versions, figures=figures, now=now
    )


async def reported_until(tx: Tx) -> date | None:
    """The day after the last of the newest period that was reported."""
    until: date | None = (await fetch(tx, _LAST))[0]["last"]
    return until


async def target(tx: Tx, kpi: str, period: Period) -> Target | None:
    """The newest version of the target of a period."""
    rows = await fetch(tx, _NEWEST, kpi=kpi, since=period.since, until=period.until)
    return Target(**rows[0]) if rows else None


async def targets(tx: Tx, kpi: str, after: tuple[date, date] | None, limit: int) -> list[Target]:
    """The targets of a figure by period."""
    since, until = after or (None, None)
    return [Target(**row) for row in await fetch(tx, _TARGETS, kpi=kpi, since=since, until=until, limit=limit)]


async def hold(tx: Tx, kpi: str) -> None:
    """Keeps others who set targets of this figure waiting until the transaction ends."""
    await fetch(tx, _HOLD, kpi=kpi)


async def add(tx: Tx, target: Target) -> None:
    """Writes a version."""
    await execute(tx, _ADD, **msgspec.structs.asdict(target))
