#!/usr/bin/env python3
"""Derive the Unicode tables of the tokenizer from the `tokenizers` library itself.

The Unicode data inside that library are of several ages: categories, decompositions, lower
case and white space each come from another version. No single version of the standard gives
its answers, so this script asks the library about every scalar value and writes down what it
says.

    python csrc/tokenizer/generate_tables.py            writes unicode_tables.c
    python csrc/tokenizer/generate_tables.py --check    exits 1 if the file differs
"""

import argparse
import sys
from pathlib import Path

import tokenizers
from tokenizers import AddedToken, Tokenizer, models, normalizers, pre_tokenizers

TARGET = Path(__file__).with_name("unicode_tables.c")
SCALARS = [c for c in range(0x110000) if not 0xD800 <= c < 0xE000]
HANGUL = range(0xAC00, 0xD7A4)

# The bits of bs_uni_range.flags; unicode_tables.h has the same list.
DROP, BLANK, CJK, PUNCT, SPACE, MARK, BREAK, LETTER = (1 << i for i in range(8))
# The values of bs_char_class in bytelevel.h, except that of the other characters.
CLASSES = {"a": 1, "1": 2, " ": 3}


def bert_normalizer(clean=False, cjk=False, strip=False, lower=False):
    normalizer = normalizers.BertNormalizer(
        clean_text=clean, handle_chinese_chars=cjk, strip_accents=strip, lowercase=lower
    )
    return normalizer.normalize_str


def hangul_jamo(code):
    """Decompose one Hangul syllable by the arithmetic of the standard."""
    index = code - 0xAC00
    tail = index % 28
    jamo = [0x1100 + index // 588, 0x1161 + index % 588 // 28]
    return jamo + [0x11A7 + tail] if tail else jamo


def ask_properties():
    """Ask for the flags of every scalar value; returns ``{code: flags}`` without zeros."""
    clean, cjk = bert_normalizer(clean=True), bert_normalizer(cjk=True)
    strip = bert_normalizer(strip=True)
    split = pre_tokenizers.BertPreTokenizer().pre_tokenize_str
    word_finder = Tokenizer(models.WordPiece({"[UNK]": 0}, unk_token="[UNK]"))
    word_finder.add_tokens([AddedToken("q", single_word=True, normalized=False)])
    flags = {}
    for code in SCALARS:
        char, value = chr(code), 0
        framed = f"a{char}b"
        cleaned = clean(framed)
        if cleaned == "ab":
            value |= DROP
        elif cleaned != framed:
            assert cleaned == "a b", hex(code)
            value |= BLANK
        spaced = cjk(framed)
        if spaced != framed:
            assert spaced == f"a {char} b", hex(code)
            value |= CJK
        pieces = [piece for piece, _ in split(framed)]
        if pieces == ["a", char, "b"]:
            value |= PUNCT
        elif pieces == ["a", "b"]:
            value |= SPACE
        else:
            assert pieces == [framed], hex(code)
        if strip(char) == "":
            value |= MARK
            # Two marks that stay and that stand in the wrong order: does `char` keep them so?
            if strip(f"a\u302e{char}\U0001d165") == "a\u302e\U0001d165":
                value |= BREAK
        if code == ord("q"):
            value |= LETTER
        elif len(word_finder.encode(f"{char}q").ids) == 1:
            # The token "q" was not found by itself: `char` counts as a word character.
            value |= 0 if word_finder.encode(f"{char}q").tokens == ["q"] else LETTER
        if value:
            flags[code] = value
    return flags


def ask_classes():
    """Ask which characters are letters, numbers and white space for byte-level tokenizers."""
    level = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
    classes = {}
    for code in SCALARS:
        # Two characters of the same class are one word. A space belongs to any word.
        same = [c for c in "a1!" if len(level.pre_tokenize_str(c + chr(code))) == 1] or [" "]
        assert len(same) == 1, hex(code)
        assert len(level.pre_tokenize_str(chr(code) + same[0])) == 1, hex(code)
        if same != ["!"]:
            classes[code] = CLASSES[same[0]]
    return classes


def ask_maps():
    """Ask what stripping accents and lower-casing make of every scalar value."""
    strip, lower = bert_normalizer(strip=True), bert_normalizer(lower=True)
    stripped, lowered = {}, {}
    for code in SCALARS:
        char = chr(code)
        result = [ord(c) for c in strip(char)]
        if code in HANGUL:
            assert result == hangul_jamo(code), hex(code)
        elif result and result != [code]:
            stripped[code] = result
        result = [ord(c) for c in lower(char)]
        if result != [code]:
            lowered[code] = result
    return stripped, lowered


def ask_ranks(flags, stripped, lowered):
    """Rank the marks that stripping leaves in place by their canonical order.

    Only the order matters, and only among marks that stay: stripping removes the others, and
    a stable sort leaves the same order among those that remain.
    """
    strip = bert_normalizer(strip=True)

    def swapped(first, second):
        turned = f"a{chr(second)}{chr(first)}"
        return first != second and strip(f"a{chr(first)}{chr(second)}") == turned

    ends = (0x302E, 0x1D165, 0x1D16D, 0x1B44, 0x0E3A, 0x0315)
    probes = [code for code in ends if strip("a" + chr(code)) == "a" + chr(code)]
    marks = [
        code
        for code in SCALARS
        if code not in stripped
        and not flags.get(code, 0) & MARK
        and any(swapped(p, code) or swapped(code, p) for p in probes)
    ]
    classes = []  # one representative each, in canonical order
    for code in marks:
        if not any(not swapped(rep, code) and not swapped(code, rep) for rep in classes):
            known = [*classes, code]
            classes = sorted(known, key=lambda c: sum(swapped(c, other) for other in known))
    ranks = {}
    for code in marks:
        assert code not in lowered and not flags.get(code, 0) & (PUNCT | SPACE | CJK), hex(code)
        rank = [
            i for i, rep in enumerate(classes) if not swapped(rep, code) and not swapped(code, rep)
        ]
        assert len(rank) == 1, hex(code)
        ranks[code] = 2 * (rank[0] + 1)
        for i, rep in enumerate(classes):
            assert swapped(rep, code) == (2 * (i + 1) > ranks[code]), (hex(rep), hex(code))
    return ranks, classes


def ask_accents(flags, classes):
    """Rank the accents that stripping removes among the marks that stay.

    Which character each mark is said to come from depends on what stood before it in canonical
    order, whether or not that is removed afterwards.
    """
    decompose = normalizers.NFD().normalize_str
    ranks = {}
    for code in SCALARS:
        value = flags.get(code, 0)
        if not value & MARK or value & BREAK:
            continue
        parts = decompose(chr(code))
        before = after = 0  # classes that certainly come before it, and that do not come after
        for rep in map(chr, classes):
            ahead = decompose("a" + chr(code) + rep)
            behind = decompose("a" + rep + chr(code))
            assert ahead in ("a" + parts + rep, "a" + rep + parts), hex(code)
            assert behind in ("a" + parts + rep, "a" + rep + parts), hex(code)
            before += ahead == "a" + rep + parts
            after += behind == "a" + rep + parts
        assert after - before in (0, 1), hex(code)
        ranks[code] = 2 * after if after > before else 2 * before + 1
    return ranks


def as_ranges(values):
    """Merge ``{code: value}`` into ``(first, last, value)`` runs."""
    runs = []
    for code in sorted(values):
        if runs and runs[-1][1] == code - 1 and runs[-1][2] == values[code]:
            runs[-1][1] = code
        else:
            runs.append([code, code, values[code]])
    return [tuple(run) for run in runs]


def wrapped(items):
    """Lay items out as lines of at most 96 columns."""
    lines, line = [], "   "
    for item in items:
        if len(line) + len(item) + 1 > 96:
            lines.append(line)
            line = "   "
        line += " " + item
    return "\n".join([*lines, line])


def write_map(name, mapping):
    """Write one mapping as an index table and a pool of code points."""
    pool, index = [], []
    for code in sorted(mapping):
        index.append(f"{{0x{code:X}, {len(pool)}, {len(mapping[code])}}},")
        pool.extend(mapping[code])
    return (
        f"const bs_uni_map bs_uni_{name}[] = {{\n{wrapped(index)}\n}};\n"
        f"const int bs_uni_{name}_count = {len(index)};\n\n"
        f"const uint32_t bs_uni_{name}_pool[] = {{\n"
        f"{wrapped([f'0x{code:X},' for code in pool])}\n}};\n\n"
    )


def generate():
    """Ask everything; returns the text of unicode_tables.c."""
    flags = ask_properties()
    stripped, lowered = ask_maps()
    ranks, classes = ask_ranks(flags, stripped, lowered)
    for code, value in flags.items():
        if value & CJK:  # the character map counts on these two
            assert len(stripped.get(code, [code])) == 1, hex(code)
            assert code not in lowered, hex(code)
    longest = max(
        sum(len(lowered.get(part, [part])) for part in parts)
        for parts in [*stripped.values(), *([code] for code in lowered)]
    )
    assert longest <= 4, longest
    ranges, marks = as_ranges(flags), as_ranges(ranks)
    accents = as_ranges(ask_accents(flags, classes))
    char_classes = as_ranges(ask_classes())
    items = [f"{{0x{a:X}, 0x{b:X}, {v}}}," for a, b, v in ranges]
    mark_items = [f"{{0x{a:X}, 0x{b:X}, {v}}}," for a, b, v in marks]
    accent_items = [f"{{0x{a:X}, 0x{b:X}, {v}}}," for a, b, v in accents]
    class_items = [f"{{0x{a:X}, 0x{b:X}, {v}}}," for a, b, v in char_classes]
    return (
        "/* Generated by generate_tables.py from the answers of the library named below;\n"
        " * do not edit. */\n\n"
        '#include "unicode_tables.h"\n\n'
        f'const char bs_uni_library[] = "tokenizers {tokenizers.__version__}";\n\n'
        f"const bs_uni_range bs_uni_ranges[] = {{\n{wrapped(items)}\n}};\n"
        f"const int bs_uni_range_count = {len(items)};\n\n"
        f"const bs_uni_range bs_uni_marks[] = {{\n{wrapped(mark_items)}\n}};\n"
        f"const int bs_uni_mark_count = {len(mark_items)};\n\n"
        f"const bs_uni_range bs_uni_accents[] = {{\n{wrapped(accent_items)}\n}};\n"
        f"const int bs_uni_accent_count = {len(accent_items)};\n\n"
        f"const bs_uni_range bs_uni_classes[] = {{\n{wrapped(class_items)}\n}};\n"
        f"const int bs_uni_class_count = {len(class_items)};\n\n"
        + write_map("strip", stripped)
        + write_map("lower", lowered)
    ).rstrip("\n") + "\n"


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--check", action="store_true", help="compare instead of writing")
    check = parser.parse_args().check
    text = generate()
    if not check:
        TARGET.write_text(text)
        print(f"{TARGET}: {len(text)} bytes from tokenizers {tokenizers.__version__}")
        return 0
    old = TARGET.read_text()
    if old == text:
        print(f"{TARGET.name} agrees with tokenizers {tokenizers.__version__}")
        return 0
    changed = [line for line in text.splitlines() if line not in set(old.splitlines())]
    print(f"{TARGET.name} differs from tokenizers {tokenizers.__version__}:")
    print("\n".join(changed[:40]))
    return 1


if __name__ == "__main__":
    sys.exit(main())
