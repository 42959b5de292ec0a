import codecs
import gzip
import io
from functools import cache
from itertools import chain, product

import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import quick

from sftdata.errors import SourceError
from sftdata.settings.sources import SourceSettings
from sftdata.sources import encodings, transcoding
from sftdata.sources.encodings import ENCODINGS, MARKS, SUPERSETS, detect_encoding, open_text
from sftdata.sources.source import Source

WIDE = {"gb18030": "gb18030", "big5": "big5hkscs", "shift_jis": "cp932", "euc_jp": "euc_jp", "cp949": "cp949"}
"""Encodings of one to four bytes for a character, and Python's codecs for them."""
NARROW = ("cp1252", "cp1251", "cp1250", "iso8859-1", "koi8-r")
UTF = ("utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be")

CHINESE = "机器学习是人工智能的一个分支，它研究如何让计算机从数据中学习。\n质量很好，下次还会再来购买，谢谢老板！\n"
TRADITIONAL = "機器學習是人工智慧的一個分支，它研究如何讓電腦從資料中學習。\n品質很好，下次還會再來購買，謝謝老闆！\n"
JAPANESE = (
    "機械学習は人工知能の一分野で、データから学ぶ方法を研究する。\nとても良い商品でした。ありがとうございます！\n"
)
KOREAN = "기계 학습은 인공지능의 한 분야로, 데이터에서 배우는 방법을 연구한다.\n품질이 아주 좋아요. 감사합니다!\n"
RUSSIAN = "Машинное обучение изучает, как учиться на данных.\nОчень хорошее качество, спасибо!\n"
FRENCH = "L'élève a été très étonné : « voilà où mène la forêt », répéta-t-il à côté du château.\nDéjà reçu, merci !\n"
GERMAN = "Die Qualität ist wirklich schön, größer als erwartet.\nDas Gerät läuft über Nacht – für Anfänger möglich.\n"
SPANISH = (
    "¿Cómo está la señora? Llegó más rápido de lo que decía el anuncio, ¡qué alegría!\nMuy buen tamaño, volveré.\n"
)
POLISH = "Bardzo dobra jakość, polecam każdemu. Przesyłka dotarła szybko, dziękuję!\nŻółty, więc ładny.\n"

TEXTS = {
    "Chinese": ("gb18030", CHINESE),
    "Chinese, traditional": ("big5", TRADITIONAL),
    "Japanese": ("shift_jis", JAPANESE),
    "Japanese on Unix": ("euc_jp", JAPANESE),
    "Korean": ("cp949", KOREAN),
    "Russian": ("cp1251", RUSSIAN),
    "Russian on Unix": ("koi8-r", RUSSIAN),
    "Polish": ("cp1250", POLISH),
    "French": ("cp1252", FRENCH),
    "German": ("cp1252", GERMAN),
    "Spanish": ("cp1252", SPANISH),
}


@pytest.fixture(scope="module")
def scratch(tmp_path_factory):
    return tmp_path_factory.mktemp("text") / "file.csv"


def source_of(path, content, encoding=None):
    path.write_bytes(content)
    return Source(path, path.name, "0" * 8, "csv", SourceSettings(path=str(path), encoding=encoding))


def transcode(path, content, encoding=None, block=2**18):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(transcoding, "BUFFER", block)
        with open_text(source_of(path, content, encoding)) as text:
            return text.file.read()


def known(path, content, encoding=None):
    """Return the encoding of a file and what is told about it."""
    with open_text(source_of(path, content, encoding)) as text:
        return text.encoding, text.found.get("encoding", "")


def is_utf8(row):
    try:
        row.decode()
    except UnicodeDecodeError:
        return False
    return True


@cache
def alphabet(codec):
    """Every character below U+10000, and two above, that a codec gives back; without those that we read differently."""
    repaired = set(chain(*(pair for pairs in transcoding.REPAIRS.values() for pair in pairs)))
    characters = [chr(code) for code in (*range(0xD800), *range(0xE000, 0x10000), 0x20000, 0x1F600)]
    return [c for c in characters if c not in repaired and c.encode(codec, "ignore").decode(codec, "ignore") == c]


@cache
def letters(codec):
    """A character that a codec has, but no line feed."""
    if codec in UTF:
        return st.characters(exclude_categories=["Cs"], exclude_characters="\n")
    return st.sampled_from([c for c in alphabet(codec) if c != "\n"])


# What decodes


@pytest.mark.parametrize(("name", "codec"), [*WIDE.items(), *((name, name) for name in (*NARROW, *UTF))])
@given(data=st.data(), block=st.integers(1, 40))
@quick
def test_any_text_comes_back_whatever_is_decoded_at_a_time(scratch, name, codec, data, block):
    text = "a" + data.draw(st.text(letters(codec) | st.sampled_from(',"\r\n'), max_size=20))
    assert transcode(scratch, text.encode(codec), name, block).decode() == text


@pytest.mark.parametrize("name", WIDE)
def test_every_character_of_an_encoding_comes_back(scratch, name):
    text = "\n".join(alphabet(WIDE[name]))
    assert len(text) > 10_000
    assert transcode(scratch, text.encode(WIDE[name]), name).decode() == text


@pytest.mark.parametrize(("name", "replaced"), SUPERSETS.items())
def test_a_superset_reads_what_is_written_in_the_encoding_it_stands_for(scratch, name, replaced):
    text = "\n".join(c for c in alphabet(name) if c not in "・―" and len(c.encode(name)) < 8)  # 8: by Hangul letters
    assert known(scratch, text.encode(name), name)[0] == replaced
    assert transcode(scratch, text.encode(name), name).decode() == text


def test_big5_has_the_signs_of_windows_and_the_characters_of_hong_kong(scratch):
    pairs = [bytes(pair) for pair in product([*range(0xA1, 0xC6), *range(0xC9, 0xFA)], range(0x40, 0xFF))]
    windows = {pair: character for pair in pairs if len(character := pair.decode("cp950", "replace")) == 1}
    windows = {pair: character for pair, character in windows.items() if character != "\ufffd"}
    assert len(windows) > 13_000
    read = transcode(scratch, b"\n".join(windows), "big5").decode("utf-8", "replace").split("\n")
    differ = {c for c, now in zip(windows.values(), read, strict=True) if c != now}
    assert differ == {"∕", "﹨", "€"}  # the first two stand in Big5 twice, the euro sign is not in it
    assert transcode(scratch, "嘅咗喺啲".encode("big5hkscs"), "big5").decode() == "嘅咗喺啲"


@pytest.mark.parametrize("name", ["utf-8", "utf-8-sig", "ascii", None])
@pytest.mark.parametrize("mark", [b"", codecs.BOM_UTF8])
def test_utf8_is_the_file_itself(scratch, name, mark):
    content = b"a,b\nx,\xe4\xb8\xad\n" + (b"\xff,1\n" if name else b"")
    with open_text(source_of(scratch, mark + content, name)) as text:
        assert isinstance(text.file.raw, io.FileIO)
        assert text.file.read() == content
        assert (text.encoding, text.found) == ("utf-8", {})
    assert text.file.closed


def test_closing_a_transcoded_file_closes_what_it_reads_from(scratch):
    with open_text(source_of(scratch, CHINESE.encode("gb18030"), "gbk")) as text:
        inner = text.file.raw._file
        assert not inner.closed
    assert inner.closed


def test_a_packed_file_is_detected_and_transcoded(tmp_path):
    content = CHINESE * 30_000  # more than the sample
    assert transcode(tmp_path / "reviews.csv.gz", gzip.compress(content.encode("gb18030"))).decode() == content


def test_a_transcoded_file_is_read_by_lines(scratch):
    with open_text(source_of(scratch, (CHINESE * 3).encode("utf-16"))) as text:
        assert text.file.peek(3)[:3] == "机".encode()
        assert text.file.readlines() == (CHINESE * 3).encode().splitlines(keepends=True)


# What does not decode


@pytest.mark.parametrize("name", WIDE)
@pytest.mark.parametrize("block", [2**18, 1])
def test_a_lead_byte_never_swallows_what_structures_a_file(scratch, name, block):
    leads = [bytes([lead]) for lead in range(0x80, 0x100)]
    leads += [b"\x81\x30", b"\x81\x30\x81", b"\x8f\xb0"]  # of four bytes in GB 18030, of three in EUC
    rows = [
        lead + after for lead, after in product(leads, [b"", b",x", b'"x', b";x", b"\tx", b"\rx", b" x", b"'x", b":x"])
    ]
    read = transcode(scratch, b"\n".join(rows), name, block).split(b"\n")
    assert len(read) == len(rows)
    assert all(now.endswith(row[-2:]) for row, now in zip(rows, read, strict=True) if row.endswith(b"x"))
    assert sum(not is_utf8(now) for now in read) > len(rows) / 3
    for lead in leads:
        assert transcode(scratch, b"a\n" + lead + b"\n", name, block).endswith(b"\n")


@pytest.mark.parametrize(("name", "codec"), WIDE.items())
@pytest.mark.parametrize("block", [2**18, 1, 5])
def test_what_does_not_decode_is_never_utf8(scratch, name, codec, block):
    """Such as the bytes C7 B3 of Big5, which are no character there, but one in UTF-8."""
    rows = [bytes(pair) for pair in product(range(0x80, 0x100), repeat=2)]
    read = transcode(scratch, b"\n".join(rows), name, block).split(b"\n")
    traps = 0
    for row, now in zip(rows, read, strict=True):
        text = row.decode(codec, "surrogateescape")
        for wrong, right in transcoding.REPAIRS.get(name, ()):
            text = text.replace(wrong, right)
        kept = text.encode("utf-8", "surrogateescape")
        assert is_utf8(now) == (not any("\udc80" <= c <= "\udcff" for c in text))
        assert now == kept or now.replace(b"\xff", b"") == kept.replace(b"\xff", b"")
        traps += is_utf8(kept) and not is_utf8(now)
    assert traps or name in ("gb18030", "shift_jis")


@pytest.mark.parametrize("name", WIDE)
def test_a_character_that_is_cut_off_at_the_end_stays_as_it_is(scratch, name):
    assert transcode(scratch, b"a\n\xb0\xa1\n\xb0", name).endswith(b"\n\xb0" if name != "shift_jis" else "\nｰ".encode())


@pytest.mark.parametrize(("name", "codec"), [*WIDE.items(), ("cp1252", "cp1252"), ("cp1250", "cp1250")])
@given(data=st.data(), block=st.sampled_from([2**18, 1, 3]))
@quick
def test_a_bad_byte_spoils_its_own_row_only(scratch, name, codec, data, block):
    rows = ["first", *data.draw(st.lists(st.text(letters(codec), max_size=8), min_size=1, max_size=6))]
    written = [row.encode(codec) for row in rows]
    spoiled = data.draw(st.sets(st.integers(1, len(rows) - 1)))
    for number in spoiled:
        place = data.draw(st.integers(0, len(written[number])))
        bad = b"\xff" if name in WIDE else b"\x81"
        written[number] = written[number][:place] + bad + written[number][place:]
    read = transcode(scratch, b"\n".join(written), name, block).split(b"\n")
    assert [None if number in spoiled else row for number, row in enumerate(rows)] == [
        row.decode() if is_utf8(row) else None for row in read
    ]


@pytest.mark.parametrize("name", UTF)
@given(data=st.data(), block=st.sampled_from([2**18, 1, 3]))
@quick
def test_a_bad_unit_spoils_its_own_row_only(scratch, name, data, block):
    rows = ["first", *data.draw(st.lists(st.text(letters(name), max_size=8), min_size=1, max_size=6))]
    written = [row.encode(name) for row in rows]
    spoiled = data.draw(st.sets(st.integers(1, len(rows) - 1)))
    for number in spoiled:
        place = data.draw(st.integers(0, len(rows[number])))
        bad = data.draw(st.sampled_from(["\ud800", "\udbff", "\udc00", "\udfff"]))
        changed = f"{rows[number][:place]}{bad}{rows[number][place:]}"
        written[number] = changed.encode(name, "surrogatepass")
    read = transcode(scratch, "\n".encode(name).join(written), name, block).split(b"\n")
    assert [None if number in spoiled else row for number, row in enumerate(rows)] == [
        row.decode() if is_utf8(row) else None for row in read
    ]


@pytest.mark.parametrize("name", UTF)
@pytest.mark.parametrize("block", [2**18, 1])
def test_a_unit_that_is_cut_off_spoils_the_last_row(scratch, name, block):
    for tail in (b"\n", b"\xd8"):
        read = transcode(scratch, "a,b\n中,1\n".encode(name) + tail, name, block)
        assert read == "a,b\n中,1\n".encode() + chr(0xDC00 + tail[0]).encode("utf-8", "surrogatepass")
        assert not is_utf8(read)


def test_bytes_that_shift_jis_does_not_have_are_not_taken_for_characters(scratch):
    read = transcode(scratch, b"\x80,\xa0,\xfd,\xfe,\xff,\xb1", "shift_jis")
    assert read == b"\x80,\xa0,\xfd,\xfe,\xff," + "ｱ".encode()


# What is given


@pytest.mark.parametrize("name", [*ENCODINGS, "GBK", "latin-1", "UTF8", "windows-1252", "big5-hkscs", "sjis", "EUC-KR"])
def test_an_encoding_that_is_given_is_used(scratch, name):
    encoding, how = known(scratch, "a,b\n1,2\n".encode(name), name)
    if name in ("utf-16", "utf-32"):
        name += "-le"
    assert encoding == SUPERSETS.get(codecs.lookup(name).name, codecs.lookup(name).name)
    assert how == ("" if encoding == "utf-8" else f"{encoding} (given)")
    assert transcode(scratch, "a,b\n1,2\n".encode(name), name) == b"a,b\n1,2\n"


@pytest.mark.parametrize("name", sorted(set(ENCODINGS) - {"utf-16", "utf-32", *UTF}))
def test_every_encoding_that_may_be_given_has_ascii_and_its_own_line_feeds(name):
    codec = transcoding.CODECS.get(name, name)
    assert bytes(range(128)).decode(codec) == "".join(map(chr, range(128)))
    for first, second in product(range(0x80, 0x100), b'\n\r",;\t'):
        text = bytes([first, second, 0x61]).decode(codec, "surrogateescape")
        assert text[-2:] == f"{chr(second)}a"


@pytest.mark.parametrize(
    "name", ["utf-7", "hz", "iso2022_jp", "rot13", "base64", "idna", "cp500", "nonsense", "a\0b", ""]
)
def test_an_encoding_that_is_not_known_is_told_with_those_that_are(scratch, name):
    with pytest.raises(SourceError) as caught:
        known(scratch, b"a,b\n", name)
    assert f"file.csv: the encoding {name!r} is not known" in str(caught.value)
    assert "gb18030" in str(caught.value)


@pytest.mark.parametrize("order", ["le", "be"])
def test_utf16_without_its_byte_order_is_read_in_the_right_one(scratch, order):
    for content in (CHINESE.encode(f"utf-16-{order}"), MARKS[f"utf-16-{order}"] + CHINESE.encode(f"utf-16-{order}")):
        assert known(scratch, content, "utf-16") == (f"utf-16-{order}", f"utf-16-{order} (given)")
        assert transcode(scratch, content, "utf-16").decode() == CHINESE


def test_a_byte_order_mark_that_contradicts_what_is_given_is_told(scratch):
    for content, name in (
        ("\ufeffa".encode(), "gb18030"),
        ("a".encode("utf-16"), "utf-8"),
        (b"\xfe\xff\0a", "utf-16-le"),
    ):
        with pytest.raises(SourceError, match=r"begins with the byte order mark of utf-.*is given as"):
            known(scratch, content, name)


# What is detected


@pytest.mark.parametrize("language", TEXTS)
def test_the_encoding_of_two_sentences_is_detected(scratch, language):
    name, text = TEXTS[language]
    content = text.encode(transcoding.CODECS.get(name, name))
    encoding, how = known(scratch, content)
    assert encoding == name
    assert how == f"{name} (confidence 0.99)"
    assert transcode(scratch, content).decode() == text


@pytest.mark.parametrize("language", TEXTS)
def test_detection_does_not_depend_on_what_surrounds_the_text(language):
    name, text = TEXTS[language]
    rows = [f'{{"id": {i}, "text": "{line}", "source": "web"}}' for i, line in enumerate(text.split("\n") * 50)]
    content = "\r\n".join(rows).encode(transcoding.CODECS.get(name, name))
    assert detect_encoding(b"a,b\n" * 1000 + content)[0].encoding == name


@pytest.mark.parametrize("name", MARKS)
def test_a_byte_order_mark_is_certain_and_no_text(scratch, name):
    content = MARKS[name] + (CHINESE + "\ufeff").encode(name)
    assert known(scratch, content) == (name, "" if name == "utf-8" else f"{name} (confidence 1.00)")
    assert transcode(scratch, content).decode() == CHINESE + "\ufeff"
    assert transcode(scratch, MARKS[name]) == b""


@pytest.mark.parametrize("name", ["utf-16-le", "utf-16-be"])
def test_utf16_without_a_mark_is_detected(scratch, name):
    assert known(scratch, FRENCH.encode(name)) == (name, f"{name} (confidence 0.99)")
    assert known(scratch, (CHINESE * 20).encode(name)) == (name, f"{name} (confidence 0.90)")


@pytest.mark.parametrize("content", [b"", b"a", b"a,b\n\x00,2\n", b"\x00" * 100, b"a\0b\0\nc,\0\0\0d\n"])
def test_zeros_alone_do_not_make_utf16(content):
    assert detect_encoding(content) == [("utf-8", 1.0)]


@pytest.mark.parametrize("language", TEXTS)
@pytest.mark.parametrize("damage", [b"\xff\xfe", b"caf\xe9", "中".encode()[:2], "机器学习".encode("gb18030")])
def test_utf8_with_a_few_bad_rows_is_utf8(language, damage):
    text = TEXTS[language][1].encode()
    assert detect_encoding(text * 2 + damage + b"\n" + text)[0].encoding == "utf-8"


@pytest.mark.parametrize("language", TEXTS)
def test_a_file_that_mixes_encodings_is_utf8_so_that_no_row_becomes_nonsense(scratch, language):
    name, text = TEXTS[language]
    content = (text * 100).encode(transcoding.CODECS.get(name, name)) + (text * 3).encode()
    assert known(scratch, content) == ("utf-8", f"utf-8 (confidence 0.50, or {name})")
    assert known(scratch, content, name)[0] == name


@pytest.mark.parametrize("damage", [b"\xff", b"\xff\xfe", b"caf\xe9", b"\xe4\xb8", b"\x80", b"\xc7\xeb"])
def test_a_few_bad_bytes_in_much_ascii_are_damage(scratch, damage):
    content = b"a line of text,label\n" * 2000 + damage + b",label\n"
    encoding, how = known(scratch, content)
    assert encoding == "utf-8"
    assert transcode(scratch, content) == content
    assert not how or how.startswith("utf-8 (confidence 0.")


def test_bytes_that_are_no_text_are_refused_with_the_best_guesses(scratch):
    content = bytes(range(256)) * 20
    with pytest.raises(
        SourceError, match=r"file.csv: its encoding cannot be told; the best guesses are \S+ \(0\.\d\d\) and "
    ):
        known(scratch, content)


def test_a_doubtful_guess_names_the_other_one(scratch):
    encoding, how = known(scratch, b"a,b,c\n1,2,3\n4,5,\xa9")
    assert encoding == "cp1252"
    assert how.startswith("cp1252 (confidence 0.6")
    assert how.endswith(", or utf-8)")


def test_text_beyond_ascii_is_found_far_from_the_start(scratch):
    plain = b"a line of text,label\n" * 100_000
    content = plain + CHINESE.encode("gb18030") * 3000 + plain
    assert known(scratch, content)[0] == "gb18030"
    assert known(scratch, plain + CHINESE.encode() * 3000 + plain) == ("utf-8", "")


def test_a_character_at_the_end_of_the_sample_is_not_taken_for_damage(scratch, monkeypatch):
    for size in (100, 101, 102):
        monkeypatch.setattr(encodings, "SAMPLE", size)
        assert known(scratch, CHINESE.replace("\n", "").encode() * 10) == ("utf-8", "")
    monkeypatch.setattr(encodings, "SAMPLE", 2**20)
    assert known(scratch, b"caf\xe9")[0] == "cp1252"


@pytest.mark.parametrize("name", ["gb18030", "cp1252"])
def test_text_beyond_ascii_is_found_late_in_one_long_line(name):
    text = "[" + '"a line of text", ' * 5000 + {"gb18030": CHINESE, "cp1252": FRENCH}[name].replace("\n", " ") * 20
    assert detect_encoding(text.encode(name))[0].encoding == name


@given(st.binary(max_size=200))
@quick
def test_any_bytes_are_read_or_refused_and_confidences_are_shares(content):
    guesses = detect_encoding(content)
    assert guesses[0].encoding in (*ENCODINGS, encodings.UNKNOWN)
    assert all(0 <= guess.confidence <= 1 for guess in guesses)


@pytest.mark.parametrize(
    "text", [b"a line of text,label", "机器学习是人工智能的一个分支".encode(), RUSSIAN.encode()[:40]]
)
@pytest.mark.parametrize("shift", [b"", b"x"])
def test_damaged_utf8_with_a_nul_before_a_line_feed_is_not_utf16(text, shift):
    rows = [shift + text + b"\n", b"a\xe9\xff\n" * 4, text + b"\n", b"nul\0\n"]
    for content in (b"".join(rows[:3] * 20 + rows[3:]), b"".join(rows), rows[1] * 9 + (text + b"\0\n") * 50):
        assert not detect_encoding(content)[0].encoding.startswith("utf-16")


@pytest.mark.parametrize("name", ["utf-16-le", "utf-16-be"])
@pytest.mark.parametrize("text", [CHINESE, TRADITIONAL, JAPANESE, KOREAN])
def test_utf16_beyond_ascii_is_detected_without_a_mark(name, text):
    assert detect_encoding((text * 20).encode(name))[0].encoding == name
