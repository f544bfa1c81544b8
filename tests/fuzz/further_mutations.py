"""Changes for readers of single files, which go further than those of `mutations`."""

import json
import re

from mutations import (
    change_archive,
    change_array,
    change_bytes,
    change_content,
    change_header,
    change_json,
    change_lines,
    change_record,
    join_header,
    split_header,
)

_PAIR = re.compile(rb'"(?:[^"\\]|\\.)*"\s*:\s*(?:"(?:[^"\\]|\\.)*"|[\w.+-]+|\[[^][{}]*\]|\{\})')
_VALUE = re.compile(rb'(?<=[:,\[])\s*(?:"(?:[^"\\]|\\.)*"|-?[\d.eE+-]+|true|false|null)')
_SIZES = (-1, 0, 1, 4, 2**31, 2**32, 2**40, 2**53, 2**62, 2**63 - 1, 2**63, 2**64 - 1, 2**64)
_DTYPES = ("F32", "F16", "BF16", "F64", "I8", "U8", "I32", "I64", "BOOL", "F8_E4M3", "F4", "f32",
           "", "C64", "U16")


def changes_of(name):
    """Return the functions that change a file of a name, the most fruitful ones repeatedly."""
    if name.endswith(".json"):
        return (*[change_json] * 80, *[double_pair] * 20, *[replace_raw] * 30,
                *[change_bytes] * 30, *[wrap_text] * 10, blow_up_json)
    if name.endswith(".npy"):
        return change_array, change_bytes
    if name.endswith(".npz"):
        return change_archive, change_archive, change_bytes
    if name.startswith("step-"):
        return (*[change_record] * 3, change_header, change_offsets, change_bytes)
    if name.endswith(".safetensors"):
        return (*[change_header] * 3, *[change_offsets] * 4, *[change_bytes] * 2, double_name)
    if name.endswith(".txt"):
        return (*[change_lines] * 60, *[change_bytes] * 40, blow_up_lines)
    return (change_bytes,)


def change(random, name, content):
    """Return a `Mutant` of a file."""
    return change_content(random, name, content, changes_of(name))


def double_pair(random, content):
    """Write a key and its value twice, the second time with the key or value of another pair."""
    pairs = list(_PAIR.finditer(content))
    first, other = random.choice(pairs), random.choice(pairs)
    key, _, value = first[0].partition(b":")
    again = random.choice((
        first[0], key + b":" + other[0].partition(b":")[2], other[0], b'"":' + value,
        b'"' + b"k" * random.choice((70, 5000)) + b'":' + value,
    ))
    return content[:first.end()] + b"," + again + content[first.end():]


def replace_raw(random, content):
    """Write something else in the place of a string, number or constant."""
    place = random.choice(list(_VALUE.finditer(content)))
    raw = random.choice((
        b"NaN", b"-Infinity", b"1e400", b"-0.0", b"1.5", b"0x10", b"1_0", b"9" * 400, b"9" * 20,
        b'"' + b"x" * 3000 + b'"', b'"\\ud800"', b'"\\udfff\\ud800"', b'"\\u0000"', b'"\\u2028"',
        b"[" * 70 + b"]" * 70, b'{"a":' * 70 + b"1" + b"}" * 70, b"[" * 3000, b"'x'", b"",
        b"[[], {}, null]", '"é"'.encode("latin-1"), '"\U0001f600"'.encode(), b'"\x00"', b'"\t"',
        b"18446744073709551616", b"-9223372036854775809", b"1E5", b"true ", b"9007199254740993",
    ))
    return content[:place.start()] + raw + content[place.end():]


def wrap_text(random, content):
    """Put something around the whole text of a file."""
    before, after = random.choice((
        (b"\xef\xbb\xbf", b""), (b"", b"{}"), (b"[", b"]"), (b" \n\t", b"\r\n "), (b"", b"\0"),
        (b"", b","), (b'{"a":', b"}"), (b"<!DOCTYPE html>", b""), (b"\x1f\x8b\x08", b""),
        (b"PK\x03\x04", b""), (b"version https://git-lfs", b""), (b"//\n", b""), (b")]}'\n", b""),
    ))
    return before + content + after


def blow_up_json(random, content):
    """Put much of something into a file."""
    count = random.choice((1000, 1000, 30_000, 300_000))
    much = random.choice((
        b"[" + b"[]," * count + b"0]", b"[" + b"{}," * count + b"0]", b"[" + b"1," * count + b"1]",
        b'"' + b"y" * count + b'"', b"[" * (count // 2) + b"]" * (count // 2), b"8" * count,
        b"{" + b",".join(b'"%d":%d' % (i, i) for i in range(count // 10)) + b"}",
        b"[" + b'"a",' * count + b'"a"]', b" " * count + b"1", b'"' + b"\\u00e9" * count + b'"',
    ))
    place = random.choice(list(_VALUE.finditer(content)))
    return content[:place.start()] + much + content[place.end():]


def blow_up_lines(random, content):
    """Put many lines, or a long one, into a file."""
    count = random.choice((1000, 1000, 30_000, 300_000))
    much = random.choice((
        b"\n" * count, b"a\n" * count, b"z" * count, b"\r" * count, "é\u2028".encode() * count,
        b"".join(b"%d\n" % i for i in range(count // 5)),
    ))
    place = random.randrange(len(content) + 1)
    return content[:place] + much + content[place:]


def change_offsets(random, content):
    """Change where a tensor of a safetensors file lies, its shape or its type."""
    header, values = split_header(content)
    names = [name for name in header if name != "__metadata__"]
    name, other = random.choice(names), random.choice(names)
    entry = header[name]
    begin, end = entry["data_offsets"]
    match random.randrange(12):
        case 0:
            entry["data_offsets"] = header[other]["data_offsets"]
        case 1:
            step = random.choice((-8, -4, -1, 1, 4, 8, end - begin))
            entry["data_offsets"] = [begin + step, end + random.choice((0, step))]
        case 2:
            entry["data_offsets"] = random.choice((
                [end, begin], [begin], [], [begin, end, end], [begin, begin], None, "0,4",
                [float(begin), float(end)], [str(begin), end], [-begin, end], {"begin": begin},
            ))
        case 3:
            entry["data_offsets"] = [random.choice(_SIZES), random.choice(_SIZES)]
        case 4:
            entry["shape"] = [random.choice(_SIZES) for _ in range(random.randrange(5))]
        case 5:
            entry["shape"] = random.choice((
                entry["shape"][::-1], [*entry["shape"], 1], [1] * 40, [0], [], [2**32, 2**32],
                [end - begin], [True], [1.0], "1", None, [[1]], {"0": 1},
            ))
        case 6:
            entry["dtype"] = random.choice(_DTYPES)
        case 7:
            # The same number of bytes in another type.
            kind, size = random.choice((("I32", 4), ("U8", 1), ("BF16", 2), ("F16", 2), ("F64", 8)))
            entry["dtype"], entry["shape"] = kind, [(end - begin) // size]
        case 8:
            more = random.choice((1, 4, 4096))
            header["more"] = {"dtype": "U8", "shape": [more],
                              "data_offsets": [len(values), len(values) + more]}
            values += bytes(more * random.choice((0, 1)))
        case 9:
            header[random.choice(("", "x" * 400, "\ud800", "a/b", "__metadata__", "\0"))] = (
                header.pop(name)
            )
        case 10:
            header["__metadata__"] = random.choice((
                None, [], {}, {"a": 1}, {"a": None}, {"bertsent": "0"}, {"format": ["pt"]}, "pt",
                {str(i): "" for i in range(3000)}, {"bertsent": "\ud800"},
            ))
        case 11:
            size = random.choice((*_SIZES[1:-1], len(content), len(content) - 8, 99, 2**24 + 1))
            return size.to_bytes(8, "little") + content[8:]
    return join_header(json.dumps(header), values)


def double_name(random, content):
    """Name a tensor twice in a header, or write the header in an unusual way."""
    header, values = split_header(content)
    text = json.dumps(header)
    name = random.choice(list(header))
    pair = f"{json.dumps(name)}: {json.dumps(header[name])}"
    text = random.choice((
        text[:-1] + f", {pair}}}", "{" + pair + ", " + text[1:], text + " " * 5000, " " + text,
        text + "\0", text + "}", text.replace(": ", ":\t"), text.replace('"', "'"), f"[{text}]",
        text.replace('"F32"', '"F\\u00332"'), text.replace("0]", "0.0]"), text[:-1],
        text.replace("0]", "-0]"), "\ufeff" + text,
    ))
    return join_header(text, values)
