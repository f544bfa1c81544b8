# ruff: noqa: E501
"""Texts to test that the tokenizer is exact, for the golden file and the tests.

All of them are generated, so that the golden file only needs checksums.
"""

import random
import zlib

import numpy as np

SPECIALS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
SCALARS = [chr(c) for c in range(0x110000) if not 0xD800 <= c < 0xE000]
BLOCK = 1 << 13
CONTEXTS = ("{}", "x{}y", "A\u0301{}\u0323z")

# lowercase, strip_accents, tokenize_chinese_chars
MODES = {
    "uncased": (True, None, True),
    "cased": (False, None, True),
    "uncased, accents kept, Chinese not split": (True, False, False),
    "cased, accents stripped": (False, True, True),
}

_CODES = [
    (0x21, 0x3400), (0x4DC0, 0x7961), (0xA000, 0xABFF), (0xD7A4, 0xD800), (0xF900, 0x10000),
    (0x10000, 0x14000), (0x16800, 0x17000), (0x1B000, 0x1B300), (0x1BC00, 0x1BD00),
    (0x1D000, 0x1FB00),
]  # fmt: skip

# Marks that are reordered, whether they are kept or not, and characters between them.
MARKS = [
    chr(c)
    for c in (
        0x302E, 0x302F, 0x1D165, 0x1D166, 0x1D16D, 0x1D16E, 0x1B44, 0x1BAA, 0x111C0, 0x11446,
        0x1E944, 0x1E000, 0x1E021, 0x8D4, 0x8E1, 0x1DFB, 0xA953, 0xA9C0, 0x301, 0x327, 0x323,
        0x345, 0x34F, 0x93C, 0x94D, 0x903, 0xF71, 0xF72, 0x3099, 0x488, 0x200D, 0x1, 0xFFFD,
        0x1D15E, 0x1D160, 0x344, 0xE01EF, 0x61, 0x20, 0x21, 0x4E2D,
    )
]  # fmt: skip

PROSE = [
    "A wonderful little production.<br /><br />The filming technique is very un-assuming, isn't it?",
    "Café Zürich — “naïve” façades, ½ price… 20€! Ångström & Æsir; ﬁne ligatures, İstanbul, ΣΊΣΥΦΟΣ.",
    "Все счастливые семьи похожи друг на друга, каждая несчастливая семья несчастлива по-своему. Ёлка.",
    "यह फ़िल्म बहुत अच्छी थी, लेकिन अंत थोड़ा कमज़ोर लगा। क्या आपने देखी?",
    "这部电影非常好看,演员的表演也很到位。我推荐给大家!𠀀𠮷",
    "この映画はとても面白かったです。カメラワークが素晴らしい! がぎぐげご ガギグゲゴ",
    "이 영화는 정말 재미있었어요. 각본도 훌륭하고 배우들도 좋았습니다!",
    "ภาพยนตร์เรื่องนี้ดีมาก ชอบตอนจบ",
    "هذا الفيلم رائع جدًا، أنصح بمشاهدته! שָׁלוֹם עוֹלָם",
    "lol 😂😂😂 best movie EVER!!! 👩‍👩‍👧‍👦 ❤️ #mustsee @someone 🇩🇪🏳️‍🌈 1️⃣",
    "Điều này rất hay! Tiếng Việt có nhiều dấu: ắ ằ ẳ ẵ ặ ố ồ ổ ỗ ộ.",
    "≠ ≤ ∑ ∫ √ ① ½ ² ™ © ® ° § ¶ † ‡ • ‰ ′ ″ ‹ › ⁄ € ℃ Å K Ω",
]

CASES = [
    "", " ", " \t\r\n ", "\x00\x01\x7f", "a\x00b", "a\u200db", "\u2028\u2029\x85\x0b\x0c", "\ufeffa",
    "[SEP]", "a[SEP]b", "[CLS][MASK]", "[SEP", "[[SEP]]", "[sep]", "[MASK]\u0301x", "##a", "##",
    "x" * 99, "x" * 100, "x" * 101, "\u00e9" * 100, "\u00e9" * 101, "e\u0301" * 100, "e\u0301" * 101,
    "\U0001d400" * 100, "\U0001d400" * 101, "\uac01" * 33, "\uac01" * 34, "\uac00" * 50 + "x",
    "x" * 63 + ".", "x" * 64 + ".", "." * 64 + "x", "x" * 4095 + " y", "\u302e" * 100,
    "\u302e" * 101, "a" + "\u302f\U0001d165" * 50, "don't", "\u0130\u0131\u017f\u212a\u212b",
    "\u1e9b\u0323", "\u0390\u03b0\u1fb7", "\u037e\u0387\u1fef\u2260", "a" * 50 + "\u4e2d" + "b" * 51,
]  # fmt: skip


def made_vocabulary():
    """Return about 120,000 pieces: single characters of many scripts, as words and as tails."""
    chars = [chr(c) for first, end in _CODES for c in range(first, end)]
    return SPECIALS + chars + ["##" + c for c in chars]


def sweeps():
    """Yield a name and a list of texts for every context of every scalar value."""
    for context in CONTEXTS:
        yield ascii(context), [context.format(char) for char in SCALARS]


def mark_runs():
    """Return all pairs of marks and some longer runs, after a capital letter."""
    draw = random.Random(5)
    runs = [first + second for first in MARKS for second in MARKS]
    runs += ["".join(draw.choices(MARKS, k=draw.choice((3, 4, 8, 40)))) for _ in range(6000)]
    return ["E" + run + "z" for run in runs]


def mixtures():
    """Return texts of all storage widths that mix prose, cases and marks."""
    draw = random.Random(6)
    parts = PROSE + CASES + MARKS + ["movie ", "The ", " ", ". ", "<br />"] * 8
    texts = ["".join(draw.choices(parts, k=draw.choice((2, 5, 30)))) for _ in range(1500)]
    narrow = ["".join(c for c in text if c < "\u0100") for text in texts]
    wide = ["".join(c for c in text if c < "\U00010000") for text in texts]
    return texts + narrow + wide


def added_tokens():
    """Return added tokens of every kind, as keyword arguments of ``tokenizers.AddedToken``."""
    return [
        {"content": "foo", "normalized": True},
        {"content": "Foo Bar", "normalized": True},
        {"content": "[X]", "normalized": False},
        {"content": "bar", "normalized": False, "single_word": True},
        {"content": "é!", "normalized": True, "single_word": True},
        {"content": "中文", "normalized": True},
        {"content": "\u302e\U0001d165", "normalized": False},
    ]


def added_texts():
    """Return texts in which added tokens occur."""
    draw = random.Random(7)
    parts = [
        "foo", "Foo", "FOO", "Foo Bar", "foo  bar", "foo\tbar", "[X]", "bar", " bar ", "_bar", "é!",
        "e\u0301!", " é! ", "中文", "\u302e\U0001d165", "\U0001d165\u302e", "[SEP]", "x", " ", ".",
    ]  # fmt: skip
    return ["".join(draw.choices(parts, k=draw.choice((2, 4, 9)))) for _ in range(3000)]


def accent_runs():
    """Return runs of accents and other marks of every order, among the letters they belong to."""
    draw = random.Random(9)
    parts = [
        chr(c)
        for c in (
            0x301, 0x323, 0x334, 0x93C, 0x94D, 0x3099, 0x302E, 0x1D165, 0x1D16D, 0x1E000, 0x1B44,
            0xF71, 0xF73, 0x344, 0x345, 0x1D15F, 0x1D160, 0xE9, 0x1E09, 0x61, 0x62, 0x34F, 0x200D,
            0x5AE, 0x18A9, 0x1D1BB, 0x1D1C0, 0xAC01, 0x130,
        )
    ]  # fmt: skip
    return ["".join(draw.choices(parts, k=draw.choice((2, 4, 9, 30, 200)))) for _ in range(3000)]


def spaced_tokens():
    """Return added tokens that take the white space beside them."""
    return [
        {"content": "lft", "normalized": False, "lstrip": True},
        {"content": "rgt", "normalized": False, "rstrip": True},
        {"content": " sp", "normalized": False, "lstrip": True, "rstrip": True},
        {"content": "one", "normalized": False, "lstrip": True, "single_word": True},
    ]


def spaced_texts():
    """Return texts in which such tokens occur."""
    draw = random.Random(10)
    parts = [
        "lft", "rgt", "LR", "sp", "one", "éa", "[SEP]", "x", ".", "中", " ", "  ", "\t", "\u3000",
        "\x85", "\u200b", "\x0b", "e\u0301", "😂",
    ]  # fmt: skip
    return ["".join(draw.choices(parts, k=draw.choice((3, 6, 12)))) for _ in range(3000)]


def pairs():
    """Return texts, second texts, and the lengths that they are cut to."""
    draw = random.Random(11)
    words = [*"abcde", "é", "中", "!", "[SEP]", "zzz", "e\u0301\u302e", "😂"]

    def text():
        return " ".join(draw.choices(words, k=draw.choice((0, 1, 3, 8, 20))))

    return [(text(), text()) for _ in range(400)], (3, 4, 5, 6, 7, 12, 13, 30, 31)


CUTS = ("longest_first", "only_first", "only_second", "tail")


def checksum(ids, offsets):
    """Return a number that stands for all ids of some texts and for where each text ends."""
    ids = np.ascontiguousarray(ids, dtype="<i4")
    lengths = np.ascontiguousarray(np.diff(offsets), dtype="<i4")
    return zlib.crc32(lengths.tobytes(), zlib.crc32(ids.tobytes()))


def block_checksums(ids, offsets, block):
    """Return the checksums of each `block` texts."""
    return [
        checksum(ids[part[0] : part[-1]], part)
        for part in (offsets[i : i + block + 1] for i in range(0, len(offsets) - 1, block))
    ]
