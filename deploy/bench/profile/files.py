"""Files of synthetic customers, the same for a seed: one row in twenty is somebody of before, written another way."""

import csv
import io

import numpy as np

SEED = 21
AGAIN = 20
COLUMNS = ("customer_id", "name", "email", "phone", "locale", "birthday", "tags")
# Of the characters that are frequent in names, a family name's first, then two of a given name.
_FAMILY = "陳林黃張李王吳劉蔡楊許鄭謝郭洪曾邱廖賴周徐蘇葉莊呂江何蕭羅高"
_GIVEN = "明華志美秀淑惠玲雅芳婷怡君家豪俊傑宗翰冠宇承恩品妍子涵詩涵欣怡佳穎建宏文雄國榮麗珠玉蘭春梅瑞祥永福金龍德勝"


def customer_file(customers: int, seed: int = SEED) -> bytes:
    """A CSV file of so many rows, a customer each. Whoever is somebody of before has his phone and his name, under
    another id, with another e-mail."""
    random = np.random.default_rng(seed)
    drawn = random.integers(0, 1 << 30, size=(customers, 4)).tolist()
    out = io.StringIO()
    rows = csv.writer(out)
    rows.writerow(COLUMNS)
    for n, (a, b, c, d) in enumerate(drawn):
        again = n % AGAIN == AGAIN - 1
        who = d % n if again else n
        name = _name(*drawn[who][:3])
        # A name written apart is another text for the same person.
        shown = f"{name[0]} {name[1:]}" if again else name
        phone = f"+8869{drawn[who][3] % 10**4:04}{who % 10**4:04}"
        birthday = f"{1 + a % 12}-{1 + b % 28}" if c % 2 else ""
        tags = "tea; vip" if not c % 7 else "tea"
        rows.writerow((f"bench:{n}", shown, f"c{n}@example.com", phone, "zh-TW", birthday, tags))
    return out.getvalue().encode()


def _name(a: int, b: int, c: int) -> str:
    return _FAMILY[a % len(_FAMILY)] + _GIVEN[b % len(_GIVEN)] + _GIVEN[c % len(_GIVEN)]
