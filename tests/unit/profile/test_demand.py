"""Whether the members of a segment buy otherwise: right as often as promised in a shop with heavy buyers."""

import random
from collections import Counter
from collections.abc import Iterator
from itertools import product

import pytest

from services.profile.demand.domain import Change, Counted, Part, change, pooled
from services.profile.demand.flips import Mix, mix_changed
from services.profile.patterns import significance

NAMES = ("tea", "ware", "rice", "salt", "soap", "silk")
RUNS = 300
Orders = list[tuple[int, frozenset[str]]]
Member = tuple[Orders, Orders]


def shop(dice: random.Random, *, later_rate: float = 1, later_tea: float = 1, later_size: float = 1) -> list[Member]:
    """Sixty members of habits of their own, one in four of whom buys eight times as often, one to three categories at
    a time; and, if anything, what of it all is another way in the later period."""
    members = []
    for _ in range(60):
        rate = 8 if dice.random() < 0.25 else 1
        taste = {name: dice.expovariate(1) for name in NAMES}
        size = dice.lognormvariate(6, 0.5)
        periods: list[Orders] = []
        for later in (False, True):
            likes = [taste[name] * (later_tea if later and name == "tea" else 1) for name in NAMES]
            visits = sum(dice.random() < 0.5 for _ in range(round(2 * (later_rate if later else 1))))
            # A habit of the period: what a member buys in it is bought again and again.
            habit = dice.choices(NAMES, likes, k=3)
            mean = size * (later_size if later else 1)
            periods.append(
                [
                    (round(100 * dice.lognormvariate(0, 0.4) * mean), frozenset(habit[: dice.randint(1, 3)]))
                    for _ in range(rate * visits)
                ]
            )
        members.append((periods[0], periods[1]))
    return members


def counted(members: list[Member]) -> Counted:
    """As the database counts."""
    each = [tuple(Counter(name for _, names in orders for name in names) for orders in member) for member in members]
    parts = [Part(name, *(sum(one[k][name] for one in each) for k in (0, 1))) for name in NAMES]
    found = [
        (n, place, now[name] - before[name])
        for n, (before, now) in enumerate(each)
        for place, name in enumerate(NAMES)
        if now[name] != before[name]
    ]
    means = [[sum(net for net, _ in orders) / len(orders) for orders in member] for member in members if all(member)]
    return Counted(
        members=len(members),
        periods={},
        categories=parts,
        channels=[],
        orders=[len(now) - len(before) for before, now in members],
        baskets=[now - before for before, now in means],
        mix=([n for n, _, _ in found], [place for _, place, _ in found], [by for _, _, by in found]),
    )


def told(members: list[Member]) -> Iterator[tuple[str, float]]:
    changed: Change = change(counted(members))
    for name in ("frequency", "basket", "category"):
        p_value = getattr(changed, name).p_value
        assert p_value is not None
        yield name, p_value


def told_of_orders(members: list[Member]) -> Iterator[tuple[str, float | None]]:
    before, now = (Counter(name for one in members for _, names in one[k] for name in names) for k in (0, 1))
    yield "orders", significance.two_counts(*(sum(len(one[k]) for one in members) for k in (0, 1)))
    yield "orders' categories", significance.shares(before, now)


def test_where_nothing_has_changed_heavy_buyers_make_no_more_alarms_than_the_level() -> None:
    dice = random.Random(11)
    called: Counter[str] = Counter()
    for _ in range(RUNS):
        members = shop(dice)
        called.update(name for name, p_value in told(members) if p_value < 0.05)
        called.update(name for name, p_value in told_of_orders(members) if (p_value or 1) < 0.05)
    assert all(0.01 <= called[name] / RUNS <= 0.09 for name in ("frequency", "basket", "category")), called
    # In such a shop tests of orders are wrong: otherwise this would say nothing.
    assert all(called[name] / RUNS > 0.15 for name in ("orders", "orders' categories")), called


@pytest.mark.parametrize(
    ("otherwise", "found"),
    [({"later_rate": 2.0}, "frequency"), ({"later_size": 1.5}, "basket"), ({"later_tea": 20.0}, "category")],
)
def test_what_has_changed_is_found_and_nothing_else(otherwise: dict[str, float], found: str) -> None:
    dice = random.Random(12)
    called = Counter(name for _ in range(60) for name, p_value in told(shop(dice, **otherwise)) if p_value < 0.05)
    assert called[found] >= 50, called
    assert all(called[name] <= 8 for name in called if name != found), called


def test_the_draws_come_near_to_the_share_of_all_exchanges() -> None:
    both = [60, 40, 20]
    rows = [(5, -4, 0), (3, -1, 1), (-1, 2, 0), (4, 0, -2), (2, -2, 1), (-2, 1, 1), (3, 0, 0), (1, -2, 0)]
    found = [(n, k, by) for n, row in enumerate(rows) for k, by in enumerate(row) if by]

    def statistic(signs: tuple[int, ...]) -> float:
        sums = [sum(sign * row[k] for sign, row in zip(signs, rows, strict=True)) for k in range(3)]
        shares = [one / sum(both) for one in both]
        return sum((one - share * sum(sums)) ** 2 / share for one, share in zip(sums, shares, strict=True))

    observed = statistic((1,) * 8)
    exact = sum(statistic(signs) >= observed - 1e-9 for signs in product((-1, 1), repeat=8)) / 2**8
    p_value = mix_changed(Mix(both, *([row[k] for row in found] for k in range(3))))
    assert p_value == pytest.approx(exact, abs=0.03)
    assert 0.01 < exact < 0.5


def test_more_orders_of_the_same_are_no_other_mix() -> None:
    twice = [(n, column, 2) for n in range(40) for column in range(2)]
    assert mix_changed(Mix([30_000_001, 30_000_001], *([row[k] for row in twice] for k in range(3)))) is None


def test_too_little_is_not_judged() -> None:
    assert mix_changed(Mix([], [], [], [])) is None
    assert mix_changed(Mix([30], list(range(20)), [0] * 20, [1] * 20)) is None
    assert mix_changed(Mix([30, 30], list(range(7)), [0] * 7, [1] * 7)) is None
    assert mix_changed(Mix([30, 30], list(range(8)), [0] * 8, [1] * 8)) == pytest.approx(2 / 2**8, abs=0.01)


def test_rare_categories_are_tested_together() -> None:
    parts = [Part("rare-1", 1, 2), Part("tea", 40, 30), Part("rare-2", 4, 5), Part("ware", 5, 5)]
    assert pooled(parts) == ([2, 0, 2, 1], [70, 10, 12])
    assert pooled(parts[1::2]) == ([0, 1], [70, 10])
    many = [Part(f"{n:03}", 20 + n, 100) for n in range(80)]
    columns, both = pooled(many)
    assert columns == [49] * 31 + list(range(48, -1, -1))
    assert (len(both), sum(both)) == (50, sum(part.before + part.now for part in many))
