"""What a recipe says under `clean`: Nothing is done that is not named."""

from collections.abc import Sequence
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationInfo, field_validator

from sftdata.documents import Settings, Text, hint

Texts = Annotated[tuple[Text, ...], Field(min_length=1)]
Share = Annotated[float, Field(ge=0, lt=1)]

_CODES = (
    "ace af am an ar ary arz as az ba bcl be bg bn br bs ca crh cs cy da de dz el en eo es et eu ext fa fi fo fr fuv fy"
    " ga gcf gcr gd gl gom grc gu gug guw ha hbo he hi hr ht hu hy id ig is it ja jv ka kab kik kk km kn ko ku ky la lb"
    " lg lij ln lo lt ltg lv mg mk ml mn mr ms mt my ne nl nn no nso oc om or pa pcm pl ps pt qu ro ru rw sa sdh se si"
    " sk sl sn so sq sr st sv sw ta te tg th tk tl tr tt ug uk ur uz uzs vec vi vo wa wuu xh yo yue zh zu zxx"
)
LANGUAGES = frozenset(_CODES.split())
"""What py3langid 0.4 tells apart: ISO 639 codes; `zxx` is text in no language."""


PERSONAL = ("urls", "emails", "chinese_ids", "card_numbers", "ip_addresses", "phone_numbers")
"""The steps that take out what may tell who somebody is."""


class Replacement(Settings):
    """A text of one's own to put in the place of what is found."""

    replace: str
    """2 to 60 characters, without line breaks, and without space at the ends. Cleaning never changes it again."""

    @field_validator("replace")
    @classmethod
    def _check_replace(cls, text: str) -> str:
        if not 2 <= len(text) <= 60 or text.strip() != text or not text.isprintable():
            raise ValueError(
                f"found {text[:70]!r}, expected 2 to 60 printable characters without space at the ends;"
                " to put nothing there, write `delete`"
            )
        return text


Action = Literal["delete", "replace", "reject"] | Replacement
"""What is done with what is found: taken out, replaced by the usual placeholder or by another text, or the row is
rejected."""


class Range(Settings):
    """How long a text may be. At least one of the two is given."""

    min: int | None = Field(default=None, ge=0)
    """The shortest that is kept."""
    max: int | None = Field(default=None, ge=0, validate_default=True)
    """The longest that is kept."""

    @field_validator("max")
    @classmethod
    def _check_max(cls, most: int | None, info: ValidationInfo) -> int | None:
        if "min" not in info.data:
            return most
        least = info.data["min"]
        if least is None and most is None:
            raise ValueError("found neither, expected min, max or both")
        if least is not None and most is not None and most < least:
            raise ValueError(f"found {most}, which is below min, {least}")
        return most


class StopwordSettings(Settings):
    """Words to take out, in lower or upper case alike. The lists that are given are added together."""

    languages: tuple[Text, ...] = ()
    """ISO 639-1 codes of lists of the package stopwordsiso, such as `en` or `zh`."""
    words: tuple[Text, ...] = ()
    """Further words."""
    file: Text | None = Field(default=None, validate_default=True)
    """A UTF-8 file with one word a line, relative to the recipe file."""

    @field_validator("languages")
    @classmethod
    def _check_languages(cls, languages: tuple[str, ...]) -> tuple[str, ...]:
        from stopwordsiso import langs

        if unknown := [code for code in languages if code not in langs()]:
            raise ValueError(
                f"found {unknown[0]!r}, expected ISO 639-1 codes of languages that have a list, such as en, zh, de"
            )
        return languages

    @field_validator("file")
    @classmethod
    def _check_any(cls, file: str | None, info: ValidationInfo) -> str | None:
        if file is None and info.data.get("languages") == () and info.data.get("words") == ():
            raise ValueError("found no list, expected at least one of languages, words, file")
        return file


class LanguageFilter(Settings):
    """Which languages are kept, as py3langid finds them. Texts of a few words are often mistaken."""

    keep: Texts
    """ISO 639 codes, such as `[en, zh]`. Cantonese is `yue` and Wu Chinese `wuu`: short Chinese may be taken for these.
    """
    confidence: float = Field(default=0.5, ge=0, le=1)
    """Below this the language counts as unknown, and the row is rejected. py3langid says 0.6 of a plain English line.
    """

    @field_validator("keep")
    @classmethod
    def _check_keep(cls, codes: tuple[str, ...]) -> tuple[str, ...]:
        if unknown := [code for code in codes if code not in LANGUAGES]:
            raise ValueError(f"found {unknown[0]!r}, expected ISO 639 codes that py3langid knows, such as en, zh, de")
        return codes


class RepetitionFilter(Settings):
    """How much of a text may repeat itself: the measures of Gopher (Rae et al. 2021, table A1), each off unless given.

    There: lines 0.3, line_characters 0.2, top_ngrams {2: 0.2, 3: 0.18, 4: 0.16}, duplicate_ngrams {5: 0.15, 6: 0.14,
    7: 0.13, 8: 0.12, 9: 0.11, 10: 0.1}.
    """

    lines: Share | None = None
    """Largest share of lines that stood before in the text; empty lines do not count."""
    line_characters: Share | None = None
    """Largest share of characters in such lines."""
    top_ngrams: dict[Annotated[int, Field(ge=1, le=20)], Share] = Field(default_factory=dict)
    """For a number of words n: largest share of characters in the n words that occur most often."""
    duplicate_ngrams: dict[Annotated[int, Field(ge=1, le=20)], Share] = Field(default_factory=dict)
    """For a number of words n: largest share of characters in any n words that stood before in the text."""


class CleanSettings(Settings):
    """How texts are cleaned. The steps run in the order of these keys, again and again until nothing changes."""

    fields: Texts | None = None
    """The columns to clean; all that hold text when it is not given."""
    roles: Texts | None = None
    """Conversations: the roles whose turns are cleaned; all when it is not given."""
    protect: tuple[Literal["code_fences", "inline_code", "latex", "placeholders"], ...] = ()
    """What no step touches: Markdown code (`code_fences`, `inline_code`), formulas (`latex`), and `placeholders` such
    as `{name}`, `%s`, `${x}`, `<NAME>`."""
    repair: bool = False
    """Undo decoding with the wrong encoding (`schÃ¶n`) by ftfy."""
    html: bool = False
    """HTML to text: tags, comments, scripts and styles go, `&amp;` and its like are resolved."""
    unicode: Literal["NFC", "NFD", "NFKC", "NFKD"] | None = None
    """The Unicode normalization form: `NFC` puts letters and accents together, `NFD` takes them apart; `NFKC` and
    `NFKD` do so too, and make wide, raised or joined signs plain ones."""
    half_width: Literal["alphanumeric", "all"] | None = None
    """Full-width to half-width: `alphanumeric` letters and digits, `all` punctuation and the wide space too."""
    control_characters: bool = False
    """Remove control characters and terminal escapes."""
    zero_width: bool = False
    """Remove invisible characters: zero-width spaces, soft hyphens, marks of direction, byte order marks."""
    chinese: Literal["simplified", "traditional"] | None = None
    """Write Chinese in `simplified` or `traditional` characters, by OpenCC."""
    urls: Action | None = None
    """Web addresses: `delete`, `replace` by `<URL>`, `{replace: TEXT}`, or `reject` the row."""
    emails: Action | None = None
    """E-mail addresses: `delete`, `replace` by `<EMAIL>`, `{replace: TEXT}`, or `reject` the row."""
    chinese_ids: Action | None = None
    """Chinese identity numbers of 18 digits with the right check digit: `delete`, `replace` by `<ID>`, `{replace:
    TEXT}`, or `reject` the row."""
    card_numbers: Action | None = None
    """Numbers of payment cards that pass Luhn's check: `delete`, `replace` by `<CARD>`, `{replace: TEXT}`, or `reject`
    the row."""
    ip_addresses: Action | None = None
    """IPv4 and IPv6 addresses: `delete`, `replace` by `<IP>`, `{replace: TEXT}`, or `reject` the row."""
    phone_numbers: Action | None = None
    """Phone numbers of China and North America, and those that begin with + and a country: `delete`, `replace` by
    `<PHONE>`, `{replace: TEXT}`, or `reject` the row."""
    stopwords: StopwordSettings | None = None
    """Words to take out."""
    case: Literal["lower", "upper"] | None = None
    """Write everything in `lower` or `upper` case."""
    whitespace: Literal["lines", "words"] | None = None
    """`lines` keeps line breaks and indentation, `words` makes every run of white space one space."""
    characters: Range | None = None
    """Filter: the length of each field in characters, after cleaning, as all filters."""
    words: Range | None = None
    """Filter: its length in words; Chinese words are those of jieba."""
    tokens: Range | None = None
    """Filter: its length in tokens of the tokenizer of the recipe, without special tokens."""
    language: LanguageFilter | None = None
    """Filter: its language."""
    max_symbols: Share | None = None
    """Filter: the largest share of characters that are punctuation or symbols; white space does not count."""
    max_digits: Share | None = None
    """Filter: the largest share of characters that are digits; white space does not count."""
    repetition: RepetitionFilter | None = None
    """Filter: how much repeats itself."""

    @field_validator("protect", "fields", "roles")
    @classmethod
    def _check_distinct(cls, names: Any) -> Any:
        if names is not None and len(set(names)) < len(names):
            twice = next(name for name in names if list(names).count(name) > 1)
            raise ValueError(f"found {twice!r} twice, expected each once")
        return names


def find_field_faults(settings: CleanSettings, fields: Sequence[str]) -> list[str]:
    """Say what of `settings` does not fit rows whose columns of text are `fields`; empty if all fits."""
    unknown = [name for name in settings.fields or () if name not in fields]
    faults = [f"fields: found {name!r}, which holds no text; {hint(name, fields)}" for name in unknown]
    if settings.roles and "messages" not in fields:
        faults.append("roles: only conversations have roles; leave it out")
    return faults
