"""Texts on which tokenizers are known to differ: spaces, controls, marks, scripts, emoji, long runs, look-alikes."""

from itertools import chain

import numpy as np

Texts = tuple[str, ...]

BLOCKS = (
    (0x00A0, 0x0250),  # Latin
    (0x0370, 0x0400),  # Greek
    (0x0400, 0x0460),  # Cyrillic
    (0x0590, 0x0600),  # Hebrew
    (0x0600, 0x06FF),  # Arabic
    (0x0900, 0x0980),  # Devanagari
    (0x0E01, 0x0E5B),  # Thai
    (0x1E00, 0x1EFF),  # more Latin
    (0x2000, 0x206F),  # punctuation and invisible characters
    (0x20A0, 0x20C0),  # currencies
    (0x2100, 0x2200),  # letter-like signs and numbers
    (0x2190, 0x2300),  # arrows and operators
    (0x2500, 0x2600),  # boxes
    (0x3000, 0x3100),  # Japanese
    (0x4E00, 0x4E80),  # Chinese
    (0xAC00, 0xAC80),  # Korean
    (0xFB00, 0xFB07),  # ligatures
    (0xFF00, 0xFFEF),  # full width
    (0x1F300, 0x1F3FF),  # pictures
    (0x1F600, 0x1F650),  # faces
    (0x20000, 0x20020),  # rare Chinese
)
"""First and one past the last code point."""

SPACES: Texts = (
    "",
    " ",
    "  ",
    "\n",
    "\n\n\n",
    "\t",
    "\r\n",
    " \n \t ",
    "a",
    " a",
    "a ",
    "\u00a0",
    "\u3000",
    "\u2028x\u2029",
)
SPACES += ("a \n b", "a  b   c", " \r\n\r\n x", "\n a", "a\t\tb ", "\u2003 a\u2009b")
CONTROLS: Texts = ("\x1c\x1d", "\x00", "\x01\x02", "a\x00b", "\x7f\x85", "\ufeff", "\u200b\u200d\u2060", "\u202eabc")
CONTROLS += ("\ufffd", "\ue000", "\U0010ffff")
PROSE: Texts = (
    "Hello, world!",
    "don't I'll WE'RE it's 'quoted' ''",
    "3.14159 1,000,000 1e-9 0x1F 12345678901234567890",
)
PROSE += ("½ ² ① Ⅻ", "snake_case camelCase UPPER-case a.b.c https://x.org/?q=1&r=%20#f me@x.org", "$€£¥ ±×÷ ≤≥ ©®™")
PROSE += ("...!!!???---", "O'Neil's 'tis rock'n'roll '90s 'S 'LL 'ſ", "1a2b 3rd 10:30 2024-01-02 １２３ ٣٤٥")
MARKS: Texts = ("caf\u00e9 cafe\u0301 \u1e9b\u0323 \u212b \ufb01", "\u0130stanbul \u00df \u1e9e \u01c5 \u03a3\u03c2")
MARKS += ("\u0323\u0301a", "e\u0301\u0323 q\u0307\u0323", "\u1100\u1161\u11a8 \uac01")
SCRIPTS: Texts = (
    "你好，世界！这是一个测试。",
    "中文English混排123",
    "日本語テキスト カタカナ ひらがな",
    "한국어 텍스트",
    "ไทย",
    "हिन्दी",
)
SCRIPTS += ("😀", "👩‍👩‍👧‍👦 👍🏽 🇨🇳", "e😀\u0301", "שלום עולם", "مرحبا", "𠀀𪚥", "𝔘𝔫𝔦𝔠𝔬𝔡𝔢")
RUNS = ("a" * 2000, "ab " * 700, " " * 300, "\n" * 300, "=" * 300, "1" * 300, "中" * 300, "😀" * 100, "\u0301" * 100)
CODE = (
    "def f(x):\n    return x\n\n\tif a:\r\n  b",
    '{"a": [1, null, "b\\n"]}',
    "<html>&amp;</html>",
    "$$\\frac{1}{2}$$",
)
LOOKALIKES: Texts = ("[CLS] [SEP] [MASK] [UNK] [PAD]", "<s> </s> <unk> <pad>", "<|im_start|> <|im_end|> <|endoftext|>")
LOOKALIKES += ("▁a ▁▁b", "Ġa Ċ ##a", "<0x0A><0xE4>", "<|im_start|", "|im_end|>")
ALPHABETS = tuple("".join(map(chr, range(*block))) for block in BLOCKS)
SPELLED = tuple(" ".join(chr(code) + "a" for code in range(*block)) for block in BLOCKS)

ATOMS: Texts = (
    "a",
    "The",
    "re",
    "S",
    "1",
    "23",
    " ",
    " ",
    "  ",
    "\n",
    "\n\n",
    "\t",
    "\r\n",
    "'",
    "'s",
    "'LL",
    "'re",
    '"',
)
ATOMS += (".", ",", "...", "!", "(", ")", "{", "[", "\\", "/", "_", "-", "#", "<", ">", "|", "@", "$", "=", ":")


def mix_atoms(count: int) -> Texts:
    """Return texts of atoms in any order: where spaces, letters, digits, quotes and signs meet, cuts go wrong."""
    draws = np.random.default_rng(0).integers(len(ATOMS), size=(count, 12))
    return tuple("".join(ATOMS[i] for i in row) for row in draws.tolist())


ADVERSARIAL = tuple(
    chain(SPACES, CONTROLS, PROSE, MARKS, SCRIPTS, RUNS, CODE, LOOKALIKES, ALPHABETS, SPELLED, mix_atoms(400))
)
"""All of them. Texts with a character that is unproved go to the reference, and are not compared."""
