"""Rows that failed and name no customer: at an erasure they are looked through for what he was known by."""

import re
from collections.abc import Iterable

from services.profile.imports import row_store, store
from services.profile.imports.sealing import of_fault, sealer_of
from services.profile.vault.application import Vault
from shared.db import Tx

_AT_ONCE = 1000
_END_DIGITS = 8
"""So much of a phone number stands in it however its beginning is written."""
_SHORT = 5
"""What has fewer characters stands in many a word: it has to be a cell, or a value, of its own."""
_CELLS = re.compile(r"[^,;\"\[\]{}:\r\n]+")


async def forget_rows(tx: Tx, vault: Vault, known_by: Iterable[tuple[str, str]]) -> int:
    """Drops the records of failed rows in which one of these addresses or identifiers (kind, value as it is kept)
    stands, however it is spaced; answers how many. That of somebody else who has the same goes with it: such a row was
    to be mended by hand anyway."""
    squeezed = {(kind, _squeezed(value)) for kind, value in known_by}
    words = {value[-_END_DIGITS:] if kind == "phone" else value for kind, value in squeezed if value}
    short, long = {word for word in words if len(word) < _SHORT}, {word for word in words if len(word) >= _SHORT}
    dropped = 0
    for import_id in await row_store.with_nameless(tx) if words else ():
        job = await store.find(tx, import_id)
        sealer = await sealer_of(tx, vault, job) if job else None
        after = 0
        while sealer and (page := await row_store.nameless(tx, import_id, after, _AT_ONCE)):
            his = []
            for row, record in page:
                text = _squeezed(sealer.open(of_fault(row), record))
                if any(word in text for word in long) or not short.isdisjoint(_CELLS.findall(text)):
                    his.append(row)
            await row_store.drop_records(tx, import_id, his)
            dropped += len(his)
            after = page[-1][0]
    return dropped


def _squeezed(text: str) -> str:
    return "".join(char for char in text.lower() if char not in " -()\t\u3000")
