"""Who may take a reward, and when."""

from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.loyalty.rewards.domain import Limit, Period, Reward, read_reward, refusal

TAIPEI, NEW_YORK = ZoneInfo("Asia/Taipei"), ZoneInfo("America/New_York")
NOW = datetime(2026, 11, 20, 4, tzinfo=UTC)


def reward(stock: int | None = None, **fields: Any) -> Reward:
    body = {"name": "Tin", "kind": "product", "points": 500, "active": True, **fields}
    return read_reward("rw_1", 1, NOW, stock, stock, body)


def code(
    of: Reward, *, tier: str | None = None, inside: bool = False, taken: int = 0, now: datetime = NOW
) -> str | None:  # fmt: skip
    found = refusal(of, tier=tier, in_segment=inside, taken_in_period=taken, now=now)
    return found.code if found else None


def test_a_plain_reward_is_for_everybody_for_ever() -> None:
    assert code(reward()) is None


def test_an_inactive_one_is_refused_before_all_else() -> None:
    assert code(reward(active=False, stock=0, tiers=["gold"], until="2020-01-01T00:00:00Z")) == "reward-inactive"


def test_it_is_offered_from_its_first_instant_up_to_before_its_last() -> None:
    window = reward(None, **{"from": "2026-11-20T12:00:00+08:00", "until": "2026-11-21T12:00:00+08:00"})
    assert code(window, now=NOW - timedelta(microseconds=1)) == "not-yet"
    assert code(window) is None
    assert code(window, now=NOW + timedelta(days=1, microseconds=-1)) is None
    assert code(window, now=NOW + timedelta(days=1)) == "over"
    early = refusal(window, tier=None, in_segment=False, taken_in_period=0, now=NOW - timedelta(days=1))
    assert early is not None
    assert early.earliest == NOW


def test_a_reward_of_tiers_is_for_any_of_them_and_nobody_else() -> None:
    exclusive = reward(tiers=["silver", "gold"])
    assert [code(exclusive, tier=tier) for tier in (None, "bronze", "silver", "gold")] == [
        "tier-required", "tier-required", None, None,
    ]  # fmt: skip


def test_a_reward_of_segments_is_for_who_is_in_one() -> None:
    gated = reward(segments=["vip"])
    assert (code(gated), code(gated, inside=True)) == ("segment-required", None)


def test_the_limit_counts_what_was_taken_and_the_stock_what_is_left() -> None:
    limited = reward(per_customer={"count": 2, "per": "month"}, stock=1)
    assert [code(limited, taken=taken) for taken in (0, 1, 2, 3)] == [None, None, "limit-reached", "limit-reached"]
    assert code(reward(stock=0)) == "out-of-stock"


@pytest.mark.parametrize(
    ("per", "since"),
    [
        ("day", "2026-11-22T16:00:00+00:00"),
        ("week", "2026-11-22T16:00:00+00:00"),
        ("month", "2026-10-31T16:00:00+00:00"),
        ("year", "2025-12-31T16:00:00+00:00"),
    ],
)
def test_periods_begin_at_midnight_of_the_house_and_weeks_on_monday(per: Period, since: str) -> None:
    assert Limit(1, per).since(datetime(2026, 11, 23, 1, tzinfo=UTC), TAIPEI) == datetime.fromisoformat(since)


@given(
    st.datetimes(datetime(2020, 1, 1), datetime(2030, 1, 1), timezones=st.just(UTC)),
    st.sampled_from(["day", "week", "month", "year"]),
    st.sampled_from([TAIPEI, NEW_YORK]),
)
def test_a_period_is_the_same_at_every_instant_of_it(now: datetime, per: Period, zone: ZoneInfo) -> None:
    limit = Limit(1, per)
    since = limit.since(now, zone)
    assert since is not None
    assert since <= now < since + timedelta(days={"day": 2, "week": 8, "month": 32, "year": 367}[per])
    assert limit.since(since, zone) == since
    before = limit.since(since - timedelta(microseconds=1), zone)
    assert before is not None
    assert before < since


def test_a_lifetime_has_no_beginning() -> None:
    assert Limit(1, "lifetime").since(NOW, TAIPEI) is None
