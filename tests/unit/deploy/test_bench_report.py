from typing import Any

from rich.console import Console

from deploy.bench.report import Bar, Figures, ServiceFigures, service_table, system_table
from deploy.bench.single import Single


def figures(**changed: Any) -> Figures:
    loyalty = Single(2_000, 100, 6_000, 10_000, 400, 5)
    good: dict[str, Any] = {
        "events": 50_000,
        "broker": "tansu",
        "services": {"loyalty": ServiceFigures.of(loyalty)},
        "all_together_per_second": 1_600,
        "all_in_one_per_second": 1_100,
        "max_rss_mb": 390,
        "processes_rss_mb": 390,
        "in_one_rss_mb": 200,
        "latency_p50_ms": 30,
        "latency_p99_ms": 120,
        "cores": 2,
        "seconds": 300,
    }
    return Figures(**{**good, **changed})


def test_a_bar_is_met_on_its_edge() -> None:
    assert Bar(15).met(15)
    assert not Bar(15).met(14.9)
    assert Bar(200, at_most=True).met(200)
    assert not Bar(200, at_most=True).met(201)


def test_a_services_rate_is_told_in_its_own_batches_of_one_and_its_floor() -> None:
    loyalty = figures().services["loyalty"]
    assert (loyalty.vs_batch_of_one, loyalty.vs_floor, loyalty.vs_copy) == (20, 0.333, 0.2)


def test_every_bar_that_is_missed_is_named() -> None:
    slow = ServiceFigures.of(Single(1_000, 100, 6_000, 10_000, 400, 5))
    assert figures().missed == []
    assert figures(services={"loyalty": slow}).missed == [
        "loyalty, times its batch of one", "loyalty, of its floor"
    ]  # fmt: skip
    assert figures(latency_p99_ms=201, all_in_one_per_second=999).missed == [
        "in one process, purchases/s", "published to visible, p99, ms"
    ]  # fmt: skip


def test_the_tables_mark_what_is_missed() -> None:
    out = Console(width=200, record=True)
    out.print(service_table(figures()), system_table(figures(latency_p99_ms=201)))
    text = out.export_text()
    assert "201 ✗" in text
    assert "≥ 1,500" in text
    assert "loyalty" in text
