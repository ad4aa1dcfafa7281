"""The tables of targets, a row a version, and of the figures as first reported; neither is ever changed."""

from collections.abc import Mapping
from datetime import date, datetime

import msgspec

from services.profile.periods import Period
from services.profile.reports.domain import Figures, Report, Slice, Target
from shared.db import Tx, columns, execute, fetch

_REPORT = """
SELECT CAST(figures AS text) AS figures, definition_version, reported_at FROM kpi_reports
WHERE kpi = :kpi AND period_from = :since AND period_to = :until AND segment = :segment AND owner = :owner
"""
_KEEP = """
INSERT INTO kpi_reports (kpi, period_from, period_to, segment, owner, definition_version, figures, reported_at)
SELECT kpi, :since, :until, :segment, :owner, version, CAST(figures AS jsonb), :now
FROM unnest(CAST(:kpis AS text[]), CAST(:versions AS int[]), CAST(:figures AS text[])) AS new (kpi, version, figures)
ORDER BY kpi ON CONFLICT DO NOTHING
"""
_LAST = "SELECT max(period_to) AS last FROM kpi_reports WHERE segment = '' AND owner = ''"
_FIELDS = "kpi, period_from AS since, period_to AS until, target, version, set_at, segment, owner"
_NEWEST = f"""
SELECT {_FIELDS} FROM kpi_targets
WHERE kpi = :kpi AND period_from = :since AND period_to = :until AND segment = :segment AND owner = :owner
ORDER BY version DESC LIMIT 1
"""
_TARGETS = f"""
SELECT DISTINCT ON (period_from, period_to, segment, owner) {_FIELDS} FROM kpi_targets
WHERE kpi = :kpi AND (CAST(:since AS date) IS NULL
                      OR (period_from, period_to, segment, owner) > (:since, :until, :segment, :owner))
ORDER BY period_from, period_to, segment, owner, version DESC LIMIT :limit
"""
_SLICES = """
SELECT DISTINCT segment, owner FROM kpi_targets
WHERE period_from = :since AND period_to = :until AND (segment <> '' OR owner <> '') ORDER BY segment, owner
"""
_HOLD = "SELECT pg_advisory_xact_lock(hashtextextended('roost.target.' || :kpi, 0))"
_ADD = """
INSERT INTO kpi_targets (kpi, period_from, period_to, segment, owner, version, target, set_at)
VALUES (:kpi, :since, :until, :segment, :owner, :version, :target, :set_at)
"""


async def report(tx: Tx, kpi: str, period: Period, of: Slice) -> Report | None:
    """What was first reported of a period."""
    rows = await fetch(tx, _REPORT, kpi=kpi, since=period.since, until=period.until, **_names(of))
    if not rows:
        return None
    figures = msgspec.json.decode(rows[0]["figures"], type=Figures)
    return Report(figures, rows[0]["definition_version"], rows[0]["reported_at"])


async def keep(tx: Tx, period: Period, of: Slice, reported: Mapping[str, tuple[int, Figures]], now: datetime) -> None:
    """Writes down the figures of a period, unless they were reported before."""
    rows = [(kpi, version, msgspec.json.encode(figures).decode()) for kpi, (version, figures) in reported.items()]
    kpis, versions, figures = columns(rows, 3)
    said = {"since": period.since, "until": period.until, "now": now, **_names(of)}
    await execute(tx, _KEEP, **said, kpis=kpis, versions=versions, figures=figures)


async def reported_until(tx: Tx) -> date | None:
    """The day after the last of the newest period that was reported."""
    until: date | None = (await fetch(tx, _LAST))[0]["last"]
    return until


async def target(tx: Tx, kpi: str, period: Period, of: Slice) -> Target | None:
    """The newest version of the target of a period."""
    rows = await fetch(tx, _NEWEST, kpi=kpi, since=period.since, until=period.until, **_names(of))
    return Target(**rows[0]) if rows else None


async def targets(tx: Tx, kpi: str, after: tuple[date, date, str, str] | None, limit: int) -> list[Target]:
    """The targets of a figure by period, segment and owner."""
    since, until, segment, owner = after or (None, None, None, None)
    said = {"since": since, "until": until, "segment": segment, "owner": owner}
    return [Target(**row) for row in await fetch(tx, _TARGETS, kpi=kpi, **said, limit=limit)]


async def slices(tx: Tx, period: Period) -> list[Slice]:
    """The segments and owners of whom any figure has a target for exactly this period."""
    return [Slice(**row) for row in await fetch(tx, _SLICES, since=period.since, until=period.until)]


async def hold(tx: Tx, kpi: str) -> None:
    """Keeps others who set targets of this figure waiting until the transaction ends."""
    await fetch(tx, _HOLD, kpi=kpi)


async def add(tx: Tx, target: Target) -> None:
    """Writes a version."""
    await execute(tx, _ADD, **msgspec.structs.asdict(target))


def _names(of: Slice) -> dict[str, str]:
    return {"segment": of.segment, "owner": of.owner}
