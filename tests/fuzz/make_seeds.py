"""Write inputs to begin with for a fuzz target: python make_seeds.py TARGET FOLDER."""

import random
import sys
from pathlib import Path

NEXT_TEXT = b"\xff"
TEXTS = [
    b"The movie isn't un-foobar! <br />abab ababa, [SEP] foo FOO. A bar",
    bytes(range(0x80, 0xD0)),
    b" ".join(bytes([op]) for op in range(0x80, 0xD0)),
    b"x".join(bytes([op]) for op in range(0xD0, 0xE0)),
    b"e" + bytes(range(0x9C, 0xB0)) + b"z",  # marks
    b"a\xa2\xa3\xe9\x40z",  # many marks
    b"x\xe8\x63 x\xe8\x62 \x81\xe8\x63",  # words of the maximum length, and longer ones
    b"\xf1\x03abab\xf1\x01.\xf3\x00[SEP]",  # words and punctuation across the ends of chunks
    b"\xf0\x01.\xf2\x02\xc1\xf0\x00\xd0",
    b"ab movie\xea\xff \xd0\xd1\xed\x40",
    b"a  [SEP] \t b\xd0 [CLS]  x  [X]\x83 \xbc x\xbc[MASK]\xbc\xbb[MASK] foo  ab bar . bar! ",
    b"a\xff" + b"b " * 9 + b"\xff\xff c d\xe9\x05 foo\xff\xe9\x03x",  # unequal pairs
    b"\xe0\xd8\x00",  # a surrogate
    b"\xe1\x02\xb8\x20\xe1\x10\xff\xff\xe0\x4e\x2d",
]
VOCABULARIES = [
    b"a ab abc +a +b +ab +bc +abab x" + NEXT_TEXT + b"abcabababx a b \xe8\x20",
    b"\x81 +\x81 +\x9d e e\x9d +x \xc8 !" + NEXT_TEXT + b"E\x9d\x9dxx\x80!",
    b"x xx +x\xe8\x40 +x" + NEXT_TEXT + b"x\xe8\x50",
]


def tokenizer_seeds(draw):
    """Return seeds in the language of inputs.c, after six bytes of switches."""
    seeds = []
    for i, text in enumerate(TEXTS):
        for switches in ((0, 0), (4, 3), (15, 0x73), (0x20, 0x0A), (1, 0x61), (0, 0x82), (3, 0xD3)):
            k = len(seeds)
            seeds.append(bytes([*switches, 8 + i, 17 * k & 0xFF, 7 * k & 0x3F, 5 + i]) + text)
    for i, text in enumerate(VOCABULARIES):
        for limit in (0xC0, 0xE5, 0xF3):
            seeds.append(bytes([limit, i, 9, i, 0x30 + i, 5 * i]) + text)
    for _ in range(60):
        texts = NEXT_TEXT.join(draw.choices(TEXTS, k=draw.randint(2, 6)))
        seeds.append(bytes(draw.choices(range(256), k=6)) + texts)
    return seeds


def random_seeds(draw):
    """Return seeds for targets that read any bytes as choices."""
    return [draw.randbytes(draw.randint(1, 600)) for _ in range(200)]


def main(target, folder):
    draw = random.Random(0)
    folder.mkdir(parents=True, exist_ok=True)
    seeds = tokenizer_seeds(draw) if target == "tokenizer" else random_seeds(draw)
    for i, seed in enumerate(seeds):
        (folder / f"{i:03}").write_bytes(seed)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
