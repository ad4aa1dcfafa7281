"""Whether the categories' shares of a segment's orders are other ones, tested by its members."""

from collections.abc import Sequence

import msgspec

from services.profile.patterns.significance import LEAST_DIFFERENCES

FLIPS = 999
_SEED = 1935
_AT_ONCE = 4096


class Mix(msgspec.Struct, frozen=True):
    """Differences of members' orders with a category: ``by`` = now - before of ``members[i]`` (numbered from 0) in
    ``columns[i]``, added up. ``both``: all members' orders in both periods, by column."""

    both: Sequence[int]
    members: Sequence[int]
    columns: Sequence[int]
    by: Sequence[int]


def mix_changed(mix: Mix) -> float | None:
    """The p-value of each member's two periods being exchangeable: a randomisation test (Fisher, 1935) of 999 draws of
    who of the members has his periods exchanged, the observed one counted in (Phipson and Smyth, 2010).

    The statistic is chi-squared's: with D the differences by category over all members, p the categories' shares of
    both periods, the sum of (D - p * sum(D))² / p. More orders of all alike don't move it. An order may count in any
    number of categories, and a member have any number of orders: what is his goes together.
    The same differences have the same p-value. None with fewer than two categories, or with fewer than 8 members whose
    difference isn't of the categories' shares.
    """
    # Read late: without this question the service has no use for it.
    import numpy as np

    both = np.array(mix.both, dtype=np.int64)
    if len(both) < 2 or not mix.by:
        return None
    differences = np.zeros((max(mix.members) + 1, len(both)), dtype=np.float32)
    np.add.at(differences, (np.array(mix.members), np.array(mix.columns)), np.array(mix.by, dtype=np.float32))
    whole, off = differences.sum(axis=1, dtype=np.float64), np.zeros(len(differences), dtype=bool)
    for column, orders in zip(differences.T, both, strict=True):
        off |= column.astype(np.float64) * both.sum() != whole * orders
    differences = differences[off]
    if len(differences) < LEAST_DIFFERENCES:
        return None
    observed = differences.sum(axis=0, dtype=np.float64)
    kept = np.zeros((FLIPS, len(both)))
    dice = np.random.default_rng(_SEED)
    for start in range(0, len(differences), _AT_ONCE):
        some = differences[start : start + _AT_ONCE]
        # Whole numbers far below 2^24 a block: exact in single precision.
        bits = np.frombuffer(dice.bytes(FLIPS * _AT_ONCE // 8), dtype=np.uint8).reshape(FLIPS, -1)
        kept += np.unpackbits(bits, axis=1, count=len(some)).astype(np.float32) @ some
    flipped = np.vstack([observed, 2 * kept - observed])
    share = both / both.sum()
    statistic = ((flipped - share * flipped.sum(axis=1, keepdims=True)) ** 2 / share).sum(axis=1)
    as_great = int((statistic[1:] >= statistic[0] * (1 - 1e-9)).sum())
    return (1 + as_great) / (1 + FLIPS)
