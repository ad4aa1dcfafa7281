"""A privilege as a checkout asks for it: its code, its values, and what a customer reads of it."""

from collections.abc import Mapping
from typing import Any

import msgspec

Text = Mapping[str, str]
"""By language."""

_TEXTS: dict[str, Text] = {
    "discount": {"en": "{percent}% off", "zh-CN": "优惠 {percent}%"},
    "quantity-steps": {"en": "{steps}", "zh-CN": "{steps}"},
    "free-upgrade": {"en": "A free upgrade", "zh-CN": "免费升级"},
    "free-upgrade to": {"en": "A free upgrade to {to}", "zh-CN": "免费升级至{to}"},
    "early-access hours": {"en": "Buy {hours} hours before everybody else", "zh-CN": "提前 {hours} 小时购买"},
    "early-access days": {"en": "Buy {days} days before everybody else", "zh-CN": "提前 {days} 天购买"},
    "priority-purchase": {"en": "Served first where goods are short", "zh-CN": "优先购买"},
    "free-shipping": {"en": "Free delivery", "zh-CN": "免运费"},
    "longer-credit": {
        "en": "{days} days to pay, up to {limit[amount]} {limit[currency]}",
        "zh-CN": "账期 {days} 天，额度 {limit[amount]} {limit[currency]}",
    },
    "dedicated-manager": {"en": "Somebody who looks after you", "zh-CN": "专属客户经理"},
    "trial": {"en": "New versions to try", "zh-CN": "新版本试用"},
    "trial days": {"en": "New versions to try for {days} days", "zh-CN": "新版本试用 {days} 天"},
    "birthday-gift reward_id": {"en": "A gift on your birthday", "zh-CN": "生日礼物"},
    "birthday-gift points": {"en": "{points} points on your birthday", "zh-CN": "生日赠送 {points} 积分"},
}
_STEP: Text = {"en": "{percent}% off from {quantity} pieces", "zh-CN": "满 {quantity} 件优惠 {percent}%"}
_BETWEEN: Text = {"en": ", ", "zh-CN": "，"}


class Privilege(msgspec.Struct, frozen=True):
    """``values``: what the version says beside code and text, as it says it."""

    code: str
    values: dict[str, Any]
    text: dict[str, str]


def read_privilege(fields: Mapping[str, Any]) -> Privilege:
    """A privilege of a stored version. What it says in a language goes before our words in that language.

    Versions may be older than the codes: one that isn't known has the text that it came with.
    """
    values = {name: value for name, value in fields.items() if name not in ("code", "text")}
    return Privilege(fields["code"], values, {**_our_words(fields["code"], values), **fields.get("text", {})})


def _our_words(code: str, values: Mapping[str, Any]) -> Text:
    named = [f"{code} {name}" for name in values if f"{code} {name}" in _TEXTS]
    words = _TEXTS.get(named[0] if named else code, {})
    try:
        return {language: text.format(**_shown(values, language)) for language, text in words.items()}
    except (LookupError, TypeError):
        # Of a version that was kept before the values of its code were checked.
        return {}


def _shown(values: Mapping[str, Any], language: str) -> Mapping[str, Any]:
    if "steps" not in values:
        return values
    steps = _BETWEEN[language].join(_STEP[language].format(**step) for step in values["steps"])
    return {**values, "steps": steps}
