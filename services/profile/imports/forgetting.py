"""Rows that failed and name no customer: at an erasure they are looked through for what he was known by."""

import re
import unicodedata
from collections.abc import Iterable

import msgspec

from services.profile.imports import row_store, store
from services.profile.imports.sealing import of_fault, sealer_of
from services.profile.vault.application import Vault
from shared.db import Tx

_AT_ONCE = 1000
_END_DIGITS = 8
"""So much of a phone number stands in it however its beginning is written."""
_SHORT = 5
"""What has fewer characters stands in many a word: it has to be a cell, or a value, of its own."""
_BETWEEN = frozenset("-()\u2010\u2011\u2012\u2013")
_CELLS = re.compile(r"[^,;\"\[\]{}:\r\n]+")


class _KnownBy:
    """Addresses and identifiers (kind, value as it is kept), however a file spaces or spells them."""

    def __init__(self, known_by: Iterable[tuple[str, str]]) -> None:
        said = list(known_by)
        self.numbers = {_digits(value)[-_END_DIGITS:] for kind, value in said if kind == "phone"} - {""}
        words = {_squeezed(value) for kind, value in said if kind != "phone"} - {""}
        self.cells = {word for word in words if len(word) < _SHORT}
        self.words = words - self.cells

    def stands_in(self, record: str) -> bool:
        """Whether one of them does."""
        cells = _cells(record)
        text, digits = _squeezed(" ".join(cells)), [_digits(cell) for cell in cells]
        return (
            any(word in text for word in self.words)
            or not self.cells.isdisjoint(map(_squeezed, cells))
            or any(number in one for number in self.numbers for one in digits)
        )


async def forget_rows(tx: Tx, vault: Vault, known_by: Iterable[tuple[str, str]]) -> int:
    """Drops the records of failed rows in which one of these addresses or identifiers stands; answers how many.

    That of somebody else who has the same goes with it: such a row was to be mended by hand anyway.
    """
    his, dropped = _KnownBy(known_by), 0
    for import_id in await row_store.with_nameless(tx):
        job = await store.find(tx, import_id)
        sealer = await sealer_of(tx, vault, job) if job else None
        after = 0
        while sealer and (page := await row_store.nameless(tx, import_id, after, _AT_ONCE)):
            found = [row for row, record in page if his.stands_in(sealer.open(of_fault(row), record))]
            await row_store.drop_records(tx, import_id, found)
            dropped += len(found)
            after = page[-1][0]
    return dropped


def _cells(record: str) -> list[str]:
    """The values of a record of CSV, or of JSON, whose escapes hide what stands there."""
    try:
        said = msgspec.json.decode(record)
    except msgspec.DecodeError:
        return _CELLS.findall(record)
    return _CELLS.findall(msgspec.json.encode(said).decode())


def _squeezed(text: str) -> str:
    plain = unicodedata.normalize("NFKC", text).lower()
    return "".join(char for char in plain if unicodedata.category(char)[0] not in "ZC" and char not in _BETWEEN)


def _digits(text: str) -> str:
    return "".join(char for char in unicodedata.normalize("NFKC", text) if char.isdecimal())
