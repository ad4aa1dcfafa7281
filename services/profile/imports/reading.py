"""Files as they come in, piece by piece: records of CSV, lines of NDJSON, never more than one record waiting."""

import codecs
import csv
import io
from collections.abc import Iterator, Sequence
from typing import Protocol

import msgspec

from services.profile.imports.columns import check_header
from services.profile.imports.domain import MAX_RECORD, Format, Record, Unreadable

CHARSETS = {"utf-8": "utf-8", "utf8": "utf-8", "us-ascii": "utf-8"} | dict.fromkeys(
    ("gb18030", "gbk", "gb2312", "cp936"), "gb18030"
)
"""Charsets that may be declared, and what each is read as."""
_TOO_LONG = f"a row has {MAX_RECORD} characters at most"
_OPEN = "unexpected end of data"


class Reader(Protocol):
    """Makes records of pieces of a file, cut anywhere."""

    columns: tuple[str, ...]

    def feed(self, piece: bytes, *, last: bool = False) -> Iterator[Record]:
        """The records that this piece completes. Raises FaultyFile."""


def reader_of(format_: Format, charset: str) -> Reader:
    """For a format and one of the values of ``CHARSETS``; NDJSON is UTF-8."""
    return CsvReader(charset) if format_ == "csv" else NdjsonReader()


class CsvReader:
    """RFC 4180 with a header; BOM, CR LF, quoted newlines. Bytes that are none of the charset spoil their row alone."""

    def __init__(self, charset: str) -> None:
        self.columns: tuple[str, ...] = ()
        self._decoder = codecs.getincrementaldecoder(charset)(errors="surrogateescape")
        self._waiting = ""
        self._begun = False
        self._skipping = False

    def feed(self, piece: bytes, *, last: bool = False) -> Iterator[Record]:
        """The records that this piece completes, without blank lines and the header. Raises FaultyFile."""
        text = self._waiting + self._decoder.decode(piece, last)
        if not self._begun and text:
            text, self._begun = text.removeprefix("\ufeff"), True
        # Up to the last line's end; a CR there may be the half of a CR LF.
        if self._skipping:
            _, newline, text = text.partition("\n")
            self._skipping = not newline
        cut = len(text) if last else text.rfind("\n") + 1
        if cut == 0 and len(text) > MAX_RECORD:
            yield Unreadable("row-too-long", _TOO_LONG, _shown(text))
            self._waiting, self._skipping = "", True
            return
        lines = io.StringIO(text[:cut], newline="").readlines()
        rest = text[cut:]
        done = 0
        while done < len(lines):
            reader = csv.reader(lines[done:], strict=True)
            taken = 0
            try:
                for record in reader:
                    begun, taken = taken, reader.line_num
                    yield from self._record(record, lines, done + begun, done + taken)
                done = len(lines)
            except csv.Error as error:
                fault = str(error)
                done += taken
                length = sum(map(len, lines[done:]))
                if fault == _OPEN and not last and length <= MAX_RECORD:
                    break
                # What a quotation has swallowed that doesn't end, or ends where it shouldn't, are rows of their own.
                detail = "a quotation that doesn't end" if fault == _OPEN or reader.line_num - taken > 1 else fault
                yield Unreadable("malformed-csv", detail, _shown(lines[done]))
                done += 1
        self._waiting = "".join(lines[done:]) + rest

    def _record(self, record: list[str], lines: list[str], begin: int, end: int) -> Iterator[Record]:
        if not self.columns:
            if any(record):
                self.columns = check_header([_storable(name) for name in record])
            return
        if not any(record):
            return
        raw = lines[begin] if end == begin + 1 else "".join(lines[begin:end])
        if not raw.isascii() and any("\ud800" <= char <= "\udfff" for char in raw):
            yield Unreadable("wrong-encoding", "bytes that the declared charset doesn't have", _shown(raw))
        elif len(raw) > MAX_RECORD:
            yield Unreadable("row-too-long", _TOO_LONG, _shown(raw))
        elif "\0" in raw:
            yield Unreadable("wrong-character", "U+0000 is not allowed", _shown(raw))
        elif len(record) > len(self.columns) and any(record[len(self.columns) :]):
            detail = f"{len(record)} cells in a file of {len(self.columns)} columns"
            yield Unreadable("malformed-csv", detail, _shown(raw))
        else:
            yield record


class NdjsonReader:
    """A JSON object a line; blank lines are passed over. What a line says is judged when it is its turn."""

    def __init__(self) -> None:
        self.columns: tuple[str, ...] = ()
        self._waiting = b""
        self._begun = False
        self._skipping = False

    def feed(self, piece: bytes, *, last: bool = False) -> Iterator[Record]:
        """The lines that this piece completes."""
        text = self._waiting + piece
        if not self._begun and (len(text) >= 3 or last):
            text, self._begun = text.removeprefix(codecs.BOM_UTF8), True
        *lines, self._waiting = text.split(b"\n")
        if last:
            lines.append(self._waiting)
            self._waiting = b""
        for line in lines:
            if self._skipping:
                self._skipping = False
            elif len(line) > MAX_RECORD:
                yield self._too_long(line)
            elif line.strip():
                yield self._line(line)
        if len(self._waiting) > MAX_RECORD:
            if not self._skipping:
                yield self._too_long(self._waiting)
            self._waiting, self._skipping = b"", True

    @staticmethod
    def _line(line: bytes) -> Record:
        try:
            return line.decode()
        except UnicodeDecodeError:
            return Unreadable("wrong-encoding", "bytes that are no UTF-8", line.decode(errors="replace"))

    @staticmethod
    def _too_long(line: bytes) -> Unreadable:
        return Unreadable("row-too-long", _TOO_LONG, line[:MAX_RECORD].decode(errors="replace"))


_records = msgspec.json.Decoder(list[Record])


def packed(records: list[Record]) -> str:
    """A chunk as it is kept."""
    return msgspec.json.encode(records).decode()


def unpacked(body: str) -> list[Record]:
    """A chunk as it was read."""
    return _records.decode(body)


def shown(record: Record, columns: Sequence[str]) -> str:
    """A record as its file had it, or would have it."""
    match record:
        case Unreadable(text=text):
            return text
        case str():
            return record
        case _:
            return line_of(record[: len(columns)])


def line_of(cells: Sequence[str]) -> str:
    """Cells as a line of CSV, without its end."""
    line = io.StringIO()
    csv.writer(line).writerow(cells)
    return line.getvalue().removesuffix("\r\n")


def _storable(text: str) -> str:
    return text.encode("utf-8", "replace").decode()


def _shown(text: str) -> str:
    """What of a text can be stored and shown."""
    return text[:MAX_RECORD].replace("\0", "\ufffd").encode("utf-8", "backslashreplace").decode().rstrip("\r\n")
