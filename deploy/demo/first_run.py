"""The instant of a data directory's first demo, from which every later run makes the same events."""

from datetime import datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import msgspec

from deploy.demo.replay import FirstRun
from deploy.local.secrets import write_private

FILE = "demo.json"


class _Kept(msgspec.Struct, frozen=True):
    first_run: datetime
    time_zone: str


def first_run(data_dir: Path, now: datetime, zone: ZoneInfo) -> FirstRun:
    """What ``demo.json`` of the data directory says; on the first run it is written, with ``now`` and ``zone``."""
    path = data_dir / FILE
    if not path.exists():
        write_private(path, msgspec.json.encode(_Kept(now, zone.key)).decode())
    kept = msgspec.json.decode(path.read_bytes(), type=_Kept)
    return FirstRun(kept.first_run, ZoneInfo(kept.time_zone))
