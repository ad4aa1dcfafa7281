"""Coupon codes: random, easy to read out and to type, and with a check character that finds what was mistyped.

A code has 14 random characters, each one of 31 (69 bits), and a check character: weighted by their places 1 to 15 the
characters sum to 0 modulo 31, as in ISBN-10 (ISO 2108:1992, modulo 11). Since 31 is prime and no two weights are alike
modulo 31, one wrong character, wherever it is, and two that changed places, however far apart, are always found.
"""

from collections.abc import Iterable
from secrets import choice
from typing import NewType

Code = NewType("Code", str)
"""As it is kept: 15 characters, no hyphens."""

ALPHABET = "23456789ABCDEFGHJKMNPQRSTUVWXYZ"
"""Without 0, 1, I, L and O, which are taken for one another."""
LENGTH = 15
_GROUP = 5
_VALUES = {character: value for value, character in enumerate(ALPHABET)}
_SEPARATORS = str.maketrans("", "", " -")


class Mistyped(ValueError):
    """No code that was ever made: what was typed or sent has a mistake in it."""


def new_code() -> Code:
    """A code that nobody can guess."""
    drawn = "".join(choice(ALPHABET) for _ in range(LENGTH - 1))
    return Code(drawn + check_character(drawn))


def check_character(drawn: str) -> str:
    """The last character to these 14, all of the alphabet."""
    # 15 times the check character is what is missing to 0: 15 * 29 = 435 = 1 modulo 31.
    return ALPHABET[-_sum(drawn) * pow(LENGTH, -1, len(ALPHABET)) % len(ALPHABET)]


def read_code(typed: str) -> Code:
    """What was typed, in upper or lower case, with or without hyphens and spaces. Raises Mistyped."""
    if not typed.isascii():
        raise Mistyped("a code has Latin letters and digits only")
    code = typed.translate(_SEPARATORS).upper()
    if len(code) != LENGTH:
        raise Mistyped(f"a code has {LENGTH} characters, without hyphens")
    if not _VALUES.keys() >= set(code):
        raise Mistyped("codes have no 0, 1, I, L and O, nor anything but letters and digits")
    if _sum(code):
        raise Mistyped("a character is wrong, or two have changed places")
    return Code(code)


def read_codes(written: Iterable[str]) -> set[Code]:
    """Those of the codes that may be ours; all others are somebody else's."""
    found = set()
    for code in written:
        try:
            found.add(read_code(code))
        except Mistyped:
            continue
    return found


def shown(code: Code) -> str:
    """A code as people read it: ``7K3QM-9XRTB-W4HDC``."""
    return "-".join(code[start : start + _GROUP] for start in range(0, LENGTH, _GROUP))


def _sum(characters: str) -> int:
    return sum(place * _VALUES[one] for place, one in enumerate(characters, start=1)) % len(ALPHABET)
