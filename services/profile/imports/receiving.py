"""A file on its way in."""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, field

from services.profile.imports import reading, store
from services.profile.imports.domain import CHUNK_CHARACTERS, CHUNK_ROWS, FaultyFile, Import, Record, Unreadable
from services.profile.imports.sealing import of_chunk
from services.profile.vault.domain import Sealer
from shared.db import Database, Tx


@dataclass(slots=True)
class Upload:
    """A file on its way in: a chunk in memory, the others in the database."""

    db: Database
    import_id: str
    reader: reading.Reader
    sealer: Sealer
    content: "hashlib._Hash" = field(default_factory=hashlib.sha256)
    size: int = 0
    rows: int = 0
    chunks: int = 0
    _waiting: list[Record] = field(default_factory=list)
    _characters: int = 0

    async def take(self, piece: bytes) -> None:
        """The next piece, cut anywhere. Raises FaultyFile."""
        self.content.update(piece)
        self.size += len(piece)
        await self._keep(self.reader.feed(piece))

    async def end(self) -> None:
        """The file is whole; ``accept`` gives it its turn. Raises FaultyFile."""
        await self._keep(self.reader.feed(b"", last=True))
        if self._waiting:
            await self._flush()
        if not self.rows:
            raise FaultyFile("empty-file", "There is no row in this file.")

    async def accept(self, tx: Tx) -> Import:
        """Its turn may come."""
        await store.received(tx, self.import_id, self.reader.columns, self.content.digest(), self.size, self.rows)
        found = await store.find(tx, self.import_id)
        assert found is not None, "it was written above"
        return found

    async def drop(self) -> None:
        """Nothing of it is kept."""
        async with self.db.transaction() as tx:
            await store.drop(tx, self.import_id)

    async def _keep(self, records: Iterable[Record]) -> None:
        for record in records:
            self._waiting.append(record)
            self._characters += _length(record)
            if len(self._waiting) == CHUNK_ROWS or self._characters >= CHUNK_CHARACTERS:
                await self._flush()

    async def _flush(self) -> None:
        body = self.sealer.seal(of_chunk(self.chunks), reading.packed(self._waiting))
        async with self.db.transaction() as tx:
            await store.add_chunk(tx, self.import_id, self.chunks, self.rows + 1, body)
        self.rows, self.chunks = self.rows + len(self._waiting), self.chunks + 1
        self._waiting.clear()
        self._characters = 0


def _length(record: Record) -> int:
    match record:
        case Unreadable(text=text) | str(text):
            return len(text)
        case _:
            return sum(map(len, record))
