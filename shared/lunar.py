"""The lunar calendar of China, 2000 to 2099, by table: which month had a leap month after it, and which had 30 days.

After the tables of the Hong Kong Observatory (Gregorian-Lunar Calendar Conversion Table). A new moon within minutes of
midnight, as in 2057, may yet be called by a day more or less.
"""

from datetime import date, timedelta

FIRST, LAST = 2000, 2099
_BEGINS = date(2000, 2, 5)
# Of each year: the month that a leap month follows, 0 for none, above 13 bits, of which the n-th is set where its
# n-th month, leap months counted, has 30 days.
_YEARS = (
    0x00693, 0x0952b, 0x0052b, 0x00a5b, 0x0555a, 0x0056a, 0x0fb55, 0x00ba4, 0x00b49, 0x0ba93,  # 2000
    0x00a95, 0x0052d, 0x08aad, 0x00ab5, 0x135aa, 0x005d2, 0x00da5, 0x0dd4a, 0x00d4a, 0x00c95,  # 2010
    0x0952e, 0x00556, 0x00ab5, 0x055b2, 0x006d2, 0x0cea5, 0x00725, 0x0064b, 0x0ac97, 0x00cab,  # 2020
    0x0055a, 0x06ad6, 0x00b69, 0x17752, 0x00b52, 0x00b25, 0x0da4b, 0x00a4b, 0x004ab, 0x0a55b,  # 2030
    0x005ad, 0x00b6a, 0x05b52, 0x00d92, 0x0fd25, 0x00d25, 0x00a55, 0x0b4ad, 0x004b6, 0x005b5,  # 2040
    0x06daa, 0x00ec9, 0x11e92, 0x00e92, 0x00d26, 0x0ca56, 0x00a57, 0x00556, 0x086d5, 0x00755,  # 2050
    0x00749, 0x06e93, 0x00693, 0x0f52b, 0x0052b, 0x00a5b, 0x0b55a, 0x0056a, 0x00b65, 0x0974a,  # 2060
    0x00b4a, 0x11a95, 0x00a95, 0x0052d, 0x0caad, 0x00ab5, 0x005aa, 0x08ba5, 0x00da5, 0x00d4a,  # 2070
    0x07c95, 0x00c96, 0x0f94e, 0x00556, 0x00ab5, 0x0b5b2, 0x006d2, 0x00ea5, 0x08e4a, 0x0068b,  # 2080
    0x10c97, 0x004ab, 0x0055b, 0x0cad6, 0x00b6a, 0x00752, 0x09725, 0x00b45, 0x00a8b, 0x0549b,  # 2090
)


def lunar_date(year: int, month: int, day: int, *, leap: bool = False) -> date:
    """The Gregorian date of a lunar one; ``year``: the Gregorian year in which the lunar year begins.

    Where the year has no such leap month, the month itself; where the month has 29 days, of a 30th the 29th. Raises
    ValueError outside of the table.
    """
    if not FIRST <= year <= LAST:
        raise ValueError(f"the table has the lunar years {FIRST} to {LAST}")
    leap_month, lengths = divmod(_YEARS[year - FIRST], 1 << 13)
    place = month - 1 + (0 < leap_month < month)
    if leap and month == leap_month:
        place += 1
    begins = _NEW_YEARS[year - FIRST] + timedelta(days=sum(_days(lengths, n) for n in range(place)))
    return begins + timedelta(days=min(day, _days(lengths, place)) - 1)


def _days(lengths: int, place: int) -> int:
    return 29 + (lengths >> place & 1)


def _new_years() -> tuple[date, ...]:
    found = [_BEGINS]
    for year in _YEARS:
        months = 12 + (year >> 13 > 0)
        found.append(found[-1] + timedelta(days=sum(_days(year, n) for n in range(months))))
    return tuple(found)


_NEW_YEARS = _new_years()
