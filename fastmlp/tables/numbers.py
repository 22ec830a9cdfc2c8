"""Numbers as the cells of a table spell them: what is one, and what to write where one was meant."""

import math
import re
import unicodedata

from fastmlp._engine import LARGEST

# Minuses, apostrophes and blanks of other keyboards, and what they stand for here.
_ALIKE = str.maketrans({
    **dict.fromkeys("\u2212\u2012\u2013\ufe63\uff0d", "-"), **dict.fromkeys("\u2019\u02bc\u00b4`", "'"),
    **dict.fromkeys("\u00a0\u2007\u2009\u202f", " "),
})  # fmt: skip
# Groups of three digits after one of one to three, by one mark, and a fraction; by points there are two or more.
_GROUPED = re.compile(r"[1-9]\d{0,2}(?:([ '_])\d{3}(?:\1\d{3})*(?:[.,]\d*)?|(?:\.\d{3}){2,}(?:,\d*)?)")


def parsed(text: str) -> float | None:
    """A number, which may be infinite or NaN, or None where a text is none."""
    first = text[:1]
    if first.isalpha() and first not in "iInN":  # what an exception would take longer to say, of thousands of names
        return None
    try:
        return None if "_" in text else float(text)
    except ValueError:
        return None


def wrong_number(text: str) -> str | None:
    """What is wrong with a cell that should be a finite number, or None."""
    value = parsed(text)
    if not text.strip() or (value is not None and math.isnan(value)):
        return "the value is missing"
    if value is None:
        meant, expected = without_marks(text.strip()), "a decimal point is expected, and no comma"
        if meant and not without_commas(text.strip()):
            expected = "digits and a decimal point are expected, without marks, and '-' as the minus"
        remedy = f"; {expected}: write {meant}" if meant else ""
        return f"{text.strip()!r} is not a number{remedy}"
    if abs(value) > LARGEST["float32"]:
        return f"{text.strip()!r} is infinite or too large for float32"
    return None


def without_marks(text: str) -> str:
    """How to write a text that is a number but for its commas, other marks of groups of three digits, signs of a unit
    (per cent, a currency) or another minus, for an error; empty where it is a number, or none at all."""
    if text[:1].isalpha() or not any(mark.isdecimal() for mark in text) or parsed(text) is not None:
        return ""
    bare = text.translate(_ALIKE).strip()
    sign, bare = (bare[:1], bare[1:]) if bare[:1] in ("+", "-") else ("", bare)
    while bare and (_is_unit(bare[0]) or _is_unit(bare[-1])):
        bare = bare[1:] if _is_unit(bare[0]) else bare[:-1]
    if not sign and bare[:1] in ("+", "-"):
        sign, bare = bare[:1], bare[1:].strip()
    if _GROUPED.fullmatch(bare):
        whole, point, rest = bare.partition(",") if bare.count(".") > 1 else re.split(r"([.,]|$)", bare, maxsplit=1)
        bare = re.sub("[ '_.]", "", whole) + point + rest
    if not bare[:1].isdecimal() and bare[:1] not in (".", ","):
        return ""
    return sign + bare if parsed(sign + bare) is not None else without_commas(sign + bare)


def _is_unit(mark: str) -> bool:
    return mark in " %\u2030\u00b0" or unicodedata.category(mark) == "Sc"


def without_commas(text: str) -> str:
    """How to write a text that is a number but for its commas, for an error; empty where it is none."""
    if "," not in text:
        return ""
    whole, _, rest = text.rpartition(",")
    grouped, decimal = text.replace(",", ""), f"{whole.replace('.', '')}.{rest}"
    if parsed(grouped) is None and parsed(decimal) is None:
        return ""
    if text.count(",") > 1 or "." in rest:
        return grouped if parsed(grouped) is not None else ""
    if "." in whole:
        return decimal if parsed(decimal) is not None else ""
    if re.match(r"[+-]?[1-9]\d{0,2},\d{3}(?!\d)", text) is None:  # groups have three digits
        return decimal
    return f"{decimal} where the comma is meant for one, {grouped} where it groups thousands"
