"""Names as they are compared, whoever wrote them: one form, one case, no order of words."""

import re
import unicodedata
from functools import lru_cache

from rapidfuzz import fuzz

# Ideographs, kana and hangul: written without blanks, so that a name is one word.
_UNSPACED = re.compile("[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af\uf900-\ufaff\U00020000-\U0003ffff]+")
_WORD = re.compile(r"\w+")
SHORTEST = 3
"""A shorter word in letters finds nobody."""


@lru_cache(maxsize=50_000)
def written(name: str) -> str:
    """The words of a name in one form (NFKC, Unicode Standard Annex 15), without case and punctuation, sorted.

    A name in ideographs is one word, with or without blanks.
    """
    words = _WORD.findall(unicodedata.normalize("NFKC", name).casefold())
    if words and all(_UNSPACED.fullmatch(word) for word in words):
        return "".join(words)
    return " ".join(sorted(words))


def alike(one: str, other: str, cutoff: int = 0) -> float:
    """The similarity of two names as ``written``, 0 to 1, 0 where it is below ``cutoff`` per cent.

    2 M / T, with M the characters of the longest common subsequence and T those of both: the normalised indel
    similarity (Levenshtein, 1966).
    """
    if not one or not other:
        return 0.0
    return round(fuzz.ratio(one, other, score_cutoff=cutoff) / 100, 2)


def blocks(name: str) -> set[str]:
    """What finds names like this one, as ``written``: its words, and of a long one in ideographs, a company's, every
    two that stand together. Of a person's three no two in common make a like name."""
    found: set[str] = set()
    for word in name.split():
        if _UNSPACED.fullmatch(word) and len(word) > SHORTEST:
            found.update(word[start : start + 2] for start in range(len(word) - 1))
        elif len(word) >= SHORTEST or _UNSPACED.fullmatch(word):
            found.add(word)
    return found


def initials(name: str) -> set[str]:
    """With what the words of a name begin; of ideographs the family name stands first."""
    return {word[0] for word in name.split()}
