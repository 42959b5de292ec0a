"""Find what identifies a person or a place on the net: addresses, numbers of phones, cards and identity papers.

Digits and letters are ASCII here; `half_width` or a Unicode form NFKC before makes those of other widths so. A number
counts only where it stands alone: not inside a longer one, nor after a decimal point.
"""

import datetime
import ipaddress
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

import polars as pl

Kind = Literal["url", "email", "chinese_id", "card_number", "ip_address", "phone_number"]
"""What can be found, in the order in which it is looked for: an e-mail address may be part of a URL."""


@dataclass(frozen=True)
class Finder:
    """How one kind is found.

    Attributes:
        guard: a polars regular expression that matches in every text that holds one, and in few others.
        pattern: what looks like one.
        check: tells whether it is one.
    """

    guard: str
    pattern: re.Pattern[str]
    check: Callable[[str], bool]

    def replace(self, texts: pl.Series, by: str) -> pl.Series:
        """Put `by` in the place of each one in `texts`, a String series without nulls."""
        return pl.Series([self._substitute(text, by) for text in texts], dtype=pl.String)

    def find(self, texts: pl.Series) -> pl.Series:
        """Return the first one of each text, or null: String, shape as `texts`, which has no nulls."""
        first = [next(self._search(text), None) for text in texts]
        return pl.Series([found and found[0] for found in first], dtype=pl.String)

    def _substitute(self, text: str, by: str) -> str:
        parts, end = [], 0
        for found in self._search(text):
            parts += [text[end : found.start()], by]
            end = found.end()
        return "".join([*parts, text[end:]])

    def _search(self, text: str) -> Iterator[re.Match[str]]:
        """Yield what passes the check; after what does not, look again from its second sign on."""
        place = 0
        while found := self.pattern.search(text, place):
            good = self.check(found[0])
            place = found.end() if good else found.start() + 1
            if good:
                yield found


def is_card_number(text: str) -> bool:
    """Tell whether the digits of `text` are a number of a payment card: a known issuer, its length, and Luhn's check.

    One in ten numbers passes Luhn's check (ISO/IEC 7812-1), so the issuer and the length must fit as well.
    """
    digits = re.sub("[ -]", "", text)
    return bool(_ISSUERS.fullmatch(digits)) and passes_luhn(digits)


def passes_luhn(digits: str) -> bool:
    """Luhn's check: every second digit from the right doubled, the sum of all digits is a multiple of ten."""
    doubled = [sum(divmod(2 * int(digit), 10)) for digit in digits[-2::-2]]
    return (sum(doubled) + sum(int(digit) for digit in digits[-1::-2])) % 10 == 0


def is_chinese_id(text: str) -> bool:
    """Tell whether `text` is an 18-digit Chinese identity number: province, date of birth, ISO 7064 MOD 11-2 check.

    As GB 11643-1999 has it; the last sign may be X.
    """
    if not _PROVINCES.fullmatch(text[:2]) or not _is_date(text[6:14]):
        return False
    total = sum(int(digit) * pow(2, 17 - place, 11) for place, digit in enumerate(text[:17]))
    return "10X98765432"[total % 11] == text[17].upper()


def _is_date(text: str) -> bool:
    try:
        datetime.date(int(text[:4]), int(text[4:6]), int(text[6:]))
    except ValueError:
        return False
    return "1850" <= text[:4] < "2100"


def is_ip_address(text: str) -> bool:
    """Tell whether `text` is an IPv4 or IPv6 address; the latter with three groups at least, for `a::b` is code too."""
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    local = text == "::1" or text.lower().startswith("fe80:")
    return ":" not in text or local or len(re.findall("[0-9A-Fa-f]+", text)) >= 3


def is_phone_number(text: str) -> bool:
    """Tell whether `text`, which looks like a phone number, has as many digits as one (ITU-T E.164) and no date."""
    return 8 <= sum(sign.isdecimal() for sign in text) <= 15 and not re.search(r"[12][0-9]{3}-[01][0-9]-[0-3]", text)


_PROVINCES = re.compile("1[1-5]|2[1-3]|3[1-7]|4[1-6]|5[0-4]|6[1-5]|71|8[1-3]|91")
_ISSUERS = re.compile(
    r"4(?:\d{12}|\d{15}|\d{18})"  # Visa
    r"|(?:5[1-5]|222[1-9]|22[3-9]\d|2[3-6]\d\d|27[01]\d|2720)\d+(?<=^\d{16})"  # Mastercard
    r"|3[47]\d{13}"  # American Express
    r"|(?:6011|64[4-9]|65)\d+(?<=^\d{16})"  # Discover
    r"|62\d{14,17}"  # UnionPay
    r"|35(?:2[89]|[3-8]\d)\d{12}"  # JCB
    r"|3(?:0[0-5]|[68]\d)\d{11}"  # Diners Club
)

_URL_SIGN = r"[A-Za-z0-9\-._~:/?#@!$&'*+,;=%\[\]]"
_URL_END = r"[A-Za-z0-9\-_~/#@$&+=%]"
_URL = rf"(?:(?:https?|ftp)://|www\.)(?=[A-Za-z0-9\[])(?:{_URL_SIGN}|\({_URL_SIGN}*\))*(?:{_URL_END}|\({_URL_SIGN}*\))"
_EMAIL = (
    r"(?<![A-Za-z0-9])[A-Za-z0-9][A-Za-z0-9._%+-]{0,63}@(?:[A-Za-z0-9-]{1,63}\.){1,8}[A-Za-z]{2,24}(?![A-Za-z0-9-])"
)
_PHONE = "|".join(
    [
        r"(?:(?:\+|00)?86[- ]?)?1[3-9][0-9](?:[0-9]{8}|([- ])[0-9]{4}\1[0-9]{4})",  # a Chinese mobile phone
        r"(?:(?:\+|00)86[- ]?)?(?:0[0-9]{2,3}-|\(0[0-9]{2,3}\) ?)[2-9][0-9]{6,7}",  # a Chinese landline
        r"[48]00-[0-9]{3}-?[0-9]{4}|[48]00-[0-9]{4}-[0-9]{3}",  # a Chinese service number
        r"(?:\+?1[-. ]?)?(?:\([2-9][0-9]{2}\) ?|[2-9][0-9]{2}([-. ]))[2-9][0-9]{2}[-. ][0-9]{4}",  # North America
        r"(?<![A-Za-z0-9])\+[1-9][0-9]{0,2}(?:[-. ]?\(?[0-9]{1,12}\)?){1,6}",  # any country
    ]
)

FINDERS: dict[Kind, Finder] = {
    "url": Finder(r"(?i)://|www\.", re.compile(_URL, re.IGNORECASE), bool),
    "email": Finder(r"[A-Za-z0-9._%+-]@[A-Za-z0-9-]+\.", re.compile(_EMAIL), bool),
    "chinese_id": Finder(
        "[0-9]{17}[0-9Xx]", re.compile(r"(?<![0-9])(?<![0-9][.])[0-9]{17}[0-9Xx](?!\.?[0-9])"), is_chinese_id
    ),
    "card_number": Finder(
        "[0-9](?:[ -]?[0-9]){12}",
        re.compile(
            r"(?<![0-9A-Za-z_])(?<![0-9][-.])"
            r"(?:[0-9]{13,19}|[0-9]{4}([ -])[0-9]{4}\1[0-9]{4}\1[0-9]{1,7}|3[0-9]{3}([ -])[0-9]{6}\2[0-9]{4,5})"
            r"(?![0-9A-Za-z_]|[-.][0-9])"
        ),
        is_card_number,
    ),
    "ip_address": Finder(
        r"[0-9]\.[0-9]{1,3}\.[0-9]{1,3}\.[0-9]|:[0-9A-Fa-f]{0,4}:",
        re.compile(
            r"(?<![0-9A-Za-z.:])(?:(?:[0-9]{1,3}\.){3}[0-9]{1,3}(?![0-9]|\.[0-9])"
            r"|(?=[0-9A-Fa-f]{0,4}:[0-9A-Fa-f]{0,4}:)[0-9A-Fa-f:]{3,39}(?:(?<=:)(?:[0-9]{1,3}\.){3}[0-9]{1,3})?(?![0-9A-Za-z:]|\.[0-9]))"
        ),
        is_ip_address,
    ),
    "phone_number": Finder(
        "[0-9][-. ()0-9]{6}", re.compile(rf"(?<![0-9])(?<![0-9][-.])(?<!\.)(?:{_PHONE})(?![-.]?[0-9])"), is_phone_number
    ),
}
"""How each kind is found, in the order of `Kind`."""
