from pathlib import Path

import pytest

from deploy.bench.flow import measured
from deploy.bench.loyalty import run as loyalty_bench
from deploy.bench.loyalty.redemption import STEPS
from deploy.bench.profile import run as profile_bench
from deploy.system import BrokerKind
from shared.contracts.topics import SERVICES
from tests.kit import infra

EVENTS = 1_000


async def test_a_bench_of_a_thousand_purchases_measures_everything(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    told: list[str] = []
    broker: BrokerKind = "kafka" if infra.kind() == "kafka" else "tansu"
    found = await measured(EVENTS, broker, told.append, by_itself=["loyalty"], turns=1)
    loyalty = found.services["loyalty"]
    assert loyalty.events_per_second > loyalty.batch_of_one_per_second > 0
    assert loyalty.copy_per_second > loyalty.floor_per_second > 0
    # Inbox, fact, lot and ledger entry of every purchase, and the outbox row of its points.
    assert loyalty.rows_per_event > 4
    assert found.all_together_per_second > 0
    assert found.all_in_one_per_second > 0
    assert 0 < found.latency_p50_ms <= found.latency_p99_ms
    assert len(SERVICES) * 30 < found.processes_rss_mb < 1_000
    assert found.max_rss_mb == max(found.processes_rss_mb, found.in_one_rss_mb)
    assert told[-1] == "100 purchases a second"
    assert list((tmp_path / ".roost").iterdir()) == []


async def test_a_quick_bench_of_profile_measures_everything_and_its_work_is_right(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    told: dict[str, tuple[int, int]] = {}
    found = await profile_bench.measured(
        profile_bench.QUICK, lambda section, done, of: told.update({section: (done, of)})
    )
    assert found.segmented_per_second > 0
    assert found.segmentation == pytest.approx(found.segmented_per_second / found.unsegmented_per_second, abs=0.001)
    assert found.view > 0
    assert found.view_p99_ms > 0 < found.empty_p99_ms
    assert found.import_per_second > 0
    # One row in twenty is somebody of before; nobody is compared with everybody.
    assert 20 <= found.duplicates_suggested <= found.duplicates_pairs < 0.01 * found.customers**2 / 2
    assert found.night_customers >= 0.9 * profile_bench.QUICK.night
    assert found.night_corrected == 0
    assert 50 < found.night_peak_mb < 1_000
    assert 2 < found.night_seconds_per_million < 10_000
    assert all(done == of for done, of in told.values())
    assert list(told) == ["segments", "import", "duplicates", "views", "night"]
    assert list((tmp_path / ".roost").iterdir()) == []


async def test_a_quick_bench_of_loyalty_measures_everything_and_its_work_is_right(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    told: dict[str, tuple[int, int]] = {}
    found = await loyalty_bench.measured(
        loyalty_bench.QUICK, lambda section, done, of: told.update({section: (done, of)})
    )
    assert found.earning == pytest.approx(found.many_rules_per_second / found.one_rule_per_second, abs=0.001)
    assert 0 < found.account_p50_ms <= found.account_p99_ms
    assert 0 < found.empty_p50_ms <= found.empty_p99_ms
    assert (found.customers, found.backtest_orders) == (loyalty_bench.QUICK.customers, 8 * found.customers)
    assert found.backtest_seconds_per_100k == pytest.approx(found.backtest_seconds / found.customers * 1e5, rel=0.01)
    # The service's own, and the processes that judge.
    assert 50 < found.backtest_peak_mb < 1_000
    hot = STEPS * found.redemptions_hot_per_second / found.bare_hot_per_second
    assert found.redemption_hot == pytest.approx(hot, abs=0.001)
    assert found.redemption_spread > 0
    assert all(done == of for done, of in told.values())
    assert list(told) == ["rules", "accounts", "backtest", "redemptions"]
    assert list((tmp_path / ".roost").iterdir()) == []
