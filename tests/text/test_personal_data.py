import time
from typing import get_args

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import quick, texts

from sftdata.text.personal_data import FINDERS, Kind, is_card_number, is_chinese_id, passes_luhn


def replace(kind, text):
    return FINDERS[kind].replace(pl.Series([text]), "#")[0]


def guarded(kind, text):
    return pl.Series([text]).str.contains(FINDERS[kind].guard)[0]


@pytest.mark.parametrize(
    ("kind", "text", "expected"),
    [
        ("url", "see http://x.com/a_(b). and (https://a.b/c?d=e&f=1), ok", "see #. and (#), ok"),
        ("url", "看http://t.cn/abc中文 www.a.com。[x](http://a.b) **http://a.b**", "看#中文 #。[x](#) **#**"),
        ("url", "http:// x www. http://. HTTP://A.B http://[::1]:80/x", "http:// x www. http://. # #"),
        ("email", "a.b+c@d-e.co.uk. 邮箱x@y.cn中 (.q@y.cn)", "#. 邮箱#中 (.#)"),
        ("email", "a@b x@@y.com @x.com a@b.c user at x.com", "a@b x@@y.com @x.com a@b.c user at x.com"),
        ("ip_address", "1.2.3.4 192.168.0.1:80 10.0.0.0/8, 1.2.3.4.", "# #:80 #/8, #."),
        ("ip_address", "2001:db8::1 ::1 fe80::1 ::ffff:1.2.3.4 [2001:0db8:85a3:0:0:8a2e:370:7334]", "# # # # [#]"),
        ("phone_number", "13800138000 +86 138-0013-8000 电话13800138000, 86-13800138000", "# # 电话#, #"),
        ("phone_number", "010-62345678 (021) 62345678 400-123-4567 400-1234-567", "# # # #"),
        ("phone_number", "(212) 555-0123 212-555-0123 +1 212 555 0123 +442071234567 +49 30 901820", "# # # # #"),
    ],
)
def test_what_is_found(kind, text, expected):
    assert replace(kind, text) == expected


@pytest.mark.parametrize(
    "text",
    ["1.2.3 1.2.3.4.5 256.1.1.1 v1.2.3.4 01.02.2024", "12:30:45 a::b std::cout 1:2 :: A::B::C 00:1a:2b:3c:4d:5e"],
)
def test_versions_dates_times_and_code_are_no_addresses(text):
    assert replace("ip_address", text) == text


@pytest.mark.parametrize(
    "text",
    [
        "2024-01-02 12:30:45",
        "2024-01-02T10:11:12+0800",
        "GMT+8 2024-01-02 12:30",
        "+1 2024-01-02 10:11",
        "20240102",
        "2024.01.02",
        "2010-2011",
        "12345678901234",
        "13800138000123",
        "0.13800138000",
        "13800138000.5",
        "3.14159265358979",
        "1,234,567,890",
        "1604567890123",
        "1.2.3.4",
        "1.2.3",
        "10.0.0.1",
        "ISBN 978-7-302-12345-6",
        "123-45-6789",
        "11010519491231002X",
        "4111 1111 1111 1111",
        "12:30-13:45",
    ],
)
def test_numbers_versions_times_and_dates_are_no_phone_numbers(text):
    assert replace("phone_number", text) == text


CARDS = [
    "4111111111111111",
    "4222222222222",
    "5555555555554444",
    "2223003122003222",
    "378282246310005",
    "6011111111111117",
    "3530111333300000",
    "30569309025904",
    "6222021234567890128",
]


@pytest.mark.parametrize("number", CARDS)
def test_cards_of_known_issuers_that_pass_luhn_and_no_number_beside_them(number):
    assert is_card_number(number)
    assert replace("card_number", f"卡{number}。") == "卡#。"
    for other in range(1, 10):
        off = number[:-1] + str((int(number[-1]) + other) % 10)
        assert not is_card_number(off)
        assert replace("card_number", off) == off


def test_cards_in_groups_and_inside_longer_numbers():
    assert replace("card_number", "4111 1111 1111 1111, 4111-1111-1111-1111 3782 822463 10005") == "#, # #"
    for text in (
        "4111 1111-1111 1111",
        "41111111111111110",
        "0.4111111111111111",
        "x4111111111111111",
        "1604567890123",
    ):
        assert replace("card_number", text) == text
    assert replace("card_number", "1234 4111 1111 1111 1111") == "1234 #"


@given(st.text("0123456789", min_size=13, max_size=19))
@quick
def test_luhn_catches_every_single_wrong_digit_and_nearly_no_long_number_is_a_card(digits):
    if passes_luhn(digits):
        assert not any(passes_luhn(digits[:-1] + other) for other in "0123456789" if other != digits[-1])
    if digits[0] in "01789":
        assert not is_card_number(digits)


@pytest.mark.parametrize("number", ["11010519491231002X", "440524188001010014", "11010119900307299X"])
def test_chinese_identity_numbers_and_none_beside_them(number):
    assert is_chinese_id(number)
    assert is_chinese_id(number.lower())
    assert replace("chinese_id", f"身份证{number}，") == "身份证#，"
    for other in set("0123456789X") - {number[-1]}:
        assert not is_chinese_id(number[:-1] + other)


def test_identity_numbers_need_a_province_and_a_date_that_exist():
    def with_check(first):
        return next(first + last for last in "0123456789X" if is_chinese_id(first + last) or last == "X")

    assert is_chinese_id(with_check("11010520000229001"))
    assert not is_chinese_id(with_check("11010520010229001"))
    assert not is_chinese_id(with_check("99010520000229001"))
    assert (
        replace("chinese_id", "1101051949123100211 0.11010519491231002X") == "1101051949123100211 0.11010519491231002X"
    )


@pytest.mark.parametrize("kind", FINDERS)
@given(
    st.lists(texts | st.sampled_from([*"0123456789.:-+@/() xX", "http://a", "www.a", "@b.cn", "138", "::"])).map(
        "".join
    )
)
@quick
def test_a_text_that_the_guard_does_not_match_holds_none_and_finding_agrees_with_replacing(kind, text):
    found = FINDERS[kind].find(pl.Series([text]))[0]
    assert (found is not None) == (replace(kind, text) != text or found == "#")
    assert found is None or (found in text and guarded(kind, text))


def test_finders_are_in_the_order_of_the_kinds_and_take_no_texts():
    assert tuple(FINDERS) == get_args(Kind)
    nothing = pl.Series([], dtype=pl.String)
    assert all(finder.find(nothing).dtype == pl.String for finder in FINDERS.values())


@pytest.mark.parametrize("sign", ["1", "a@", "a.", "http://", "(", "1.", ":", "1:", "0-", "+1 ", "a(", "4111 ", "138-"])
def test_finding_takes_linear_time(sign):
    started = time.perf_counter()
    for finder in FINDERS.values():
        finder.find(pl.Series([sign * 20_000]))
    assert time.perf_counter() - started < 10  # a tenth of a second; a quadratic search takes minutes


@pytest.mark.parametrize("text", ["::1", "see ::ffff:10.0.0.1"])
def test_the_guard_lets_short_addresses_pass(text):
    assert guarded("ip_address", text)
    assert replace("ip_address", text).endswith("#")
