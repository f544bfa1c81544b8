"""Damage the files of a directory: bytes, JSON values, arrays, headers, or whole files."""

import io
import json
import math
import struct
import zipfile
import zlib
from typing import NamedTuple

# What may be in the place of a file.
PLACES = ("missing", "empty", "directory", "pipe", "link", "loop", "large", "other file")
# Texts in the place of a value that json.dumps would never write.
_RAW = (
    "9" * 5000, "-" + "9" * 400, "1e999", "-1e999", "1e-999", "1.0e0", "-0", "-0.0", "01",
    "[" * 200 + "]" * 200, "[" * 100_000 + "]" * 100_000, '{"a":' * 200 + "1" + "}" * 200,
    '{"a": 1, "a": 2}', "[1,]", "{,}", "", "'a'", "NaN", "Infinity", "-Infinity", "nul", "//",
    '"\\ud83d"', '"\\ude00\\ud83d"', '"\\u0000"', '"\\x"', '"a\nb"', '"' + "\\u0041" * 500 + '"',
)
_VALUES = (
    None, True, False, 0, 1, -1, 2, 3, 16, 17, 255, 65536, 2**31 - 1, 2**31, 2**32, 2**53, 2**63,
    2**64, -2**63 - 1, 10**30, 0.0, 0.5, -0.5, 1.0, 1e-320, 1e308, -1e308, math.nan, math.inf,
    -math.inf, "", "a", "0", "1", "auto", "true", "\0", "\ud83d", "é", "\u2028", "x" * 5000,
    "../outside", "[PAD]", "##", [], {}, [[]], [None], [1, "a"], {"": 0},
    {"a": [1]}, {"items": []}, {"items": [["a", 1]]}, {"type": "Sequence"}, {"content": "[MASK]"},
)
_BYTES = (
    b"\0", b"\xff", b"\xed\xa0\xbd", b"\xef\xbb\xbf", b"\r\n", b"\n", b'"', b"{", b"}", b"[", b"]",
    b"\\ud83d", b"\\", b"NaN", b"1e999", b",", b":", b"-", b"9" * 30, b"\xc3", b"\xf0\x9f\x98\x80",
)
_DESCRS = ("<u8", "<i8", ">u8", "|O", "<f4", "<f8", "<i4", "|S8", "<U8", "|b1", "<M8[s]", "|V8",
           "<u8'", "", "<c16", "<u888888")
_SHAPES = ("()", "(0,)", "(1,)", "(3,)", "(-1,)", "(1000000000000,)", "(18446744073709551616,)",
           "(2, 3)", "(3, 2)", "(0, 1000000000000)", "(3", "3,", "(3L,)", "(1e3,)", "[3]", "(,)",
           "(((((((((((((((((((((", "('a',)", "(True,)", "(2**64,)", "None", "\"\"\"")


class Mutant(NamedTuple):
    """A changed file: its name, what was done, and its content, or what is in its place."""

    name: str
    done: str
    content: bytes | None
    place: str = ""


def mutate(random, contents, others):
    """Return a changed file of a directory.

    Parameters
    ----------
    random : random.Random
        Everything else determines the result with it.
    contents : dict of str to bytes
        The files of the directory.
    others : list of bytes
        Files of other directories.

    Returns
    -------
    Mutant
    """
    # Small files decide most.
    names = sorted(contents)
    weights = [1 if name.endswith("safetensors") else 2 for name in names]
    name = random.choices(names, weights)[0]
    if random.random() < 0.06:
        place = random.choice(PLACES)
        if place in ("empty", "other file"):
            content = random.choice([*contents.values(), *others]) if place != "empty" else b""
            return Mutant(name, place, content)
        # A link leads to the file itself, or to one that is damaged.
        content = random.choice((contents[name], contents[name][:50])) if place == "link" else None
        return Mutant(name, place, content, place)
    return change_content(random, name, contents[name], _changes_of(name))


def change_content(random, name, content, changes):
    """Return a file whose content was changed once or more, by some of the functions `changes`."""
    done = []
    for _ in range(random.choice((1, 1, 1, 2, 3))):
        change = random.choice(changes)
        try:
            content = change(random, content)
        except Exception:
            # It has been damaged already, so its structure is not known any more.
            content = change_bytes(random, content)
        done.append(change.__name__)
    return Mutant(name, " + ".join(done), content)


def _changes_of(name):
    if name.endswith(".json"):
        return change_json, change_json, change_json, change_bytes
    if name.endswith(".npy"):
        return change_array, change_bytes
    if name.endswith(".npz"):
        return change_archive, change_archive, change_bytes
    if name.startswith("step-"):
        return change_record, change_record, change_header, change_bytes
    if name.endswith(".safetensors"):
        return change_header, change_header, change_bytes
    if name.endswith(".txt"):
        return change_lines, change_bytes
    return (change_bytes,)


def change_bytes(random, content):
    """Flip bits, cut, repeat, insert or move bytes."""
    data = bytearray(content)
    place = random.randrange(len(data) + 1)
    # Headers are at the beginning.
    if random.random() < 0.3:
        place = min(place, random.randrange(200))
    size = min(1 << random.randrange(8), len(data) - place)
    match random.randrange(7):
        case 0 | 1:
            for _ in range(1 << random.randrange(4)):
                if data:
                    data[(place + random.randrange(8)) % len(data)] ^= 1 << random.randrange(8)
        case 2:
            del data[place:]
        case 3:
            del data[place:place + size]
        case 4:
            data[place:place] = data[place:place + size] * random.choice((1, 2, 20))
        case 5:
            data[place:place + random.choice((0, size))] = random.choice(_BYTES)
        case 6:
            start = random.randrange(len(data) + 1)
            data[place:place + size] = data[start:start + size]
    return bytes(data)


def change_lines(random, content):
    """Change the lines of a text file."""
    lines = content.split(b"\n")
    i, j = random.randrange(len(lines)), random.randrange(len(lines))
    match random.randrange(6):
        case 0:
            del lines[i]
        case 1:
            lines[i] = lines[j]
        case 2:
            lines[i], lines[j] = lines[j], lines[i]
        case 3:
            lines[i] = random.choice(
                (b"", b" ", b"\r", b"[CLS]", b"##", b"x" * 10_000, b"\xff", b"a\0b", b"\xc2\x85")
            )
        case 4:
            lines[i:i] = [random.choice((b"new", b"", b"\xe2\x80\xa8"))] * random.choice((1, 500))
        case 5:
            return b"\r\n".join(lines)
    return b"\n".join(lines)


# --- JSON -----------------------------------------------------------------------------------


def change_json(random, content):
    """Change a value, a key or the structure of a JSON file."""
    return _dump(random, json.loads(content)).encode("utf-8", "surrogatepass")


def _dump(random, value):
    """Change a value in place, and return its text."""
    raw = _change_value(random, value)
    text = json.dumps(
        value, ensure_ascii=random.random() < 0.5, indent=random.choice((None, 2)),
    )
    return text.replace('"@raw@"', raw)


def _change_value(random, value):
    """Change one place in a value; return the text to replace a marker by."""
    where, key = _choose_place(random, value)
    inner, raw = where[key], random.choice(_RAW)
    match random.randrange(12):
        case 0 | 1 | 2:
            where[key] = random.choice(_VALUES)
        case 3:
            where[key] = "@raw@"
        case 4:
            del where[key]
        case 5 if isinstance(where, dict):
            where[random.choice((key + "s", key.upper(), "", "\ud83d", "x" * 300))] = where.pop(key)
        case 6:
            other, name = _choose_place(random, value)
            where[key] = json.loads(json.dumps(other[name]))
        case 7:
            other, name = _choose_place(random, value)
            where[key], other[name] = other[name], where[key]
        case 8 if isinstance(inner, (int, float)) and abs(inner) < 2**60:
            where[key] = random.choice((inner + 1, inner - 1, -inner, 2 * inner, inner / 3,
                                        float(inner), str(inner), bool(inner)))
        case 8 if isinstance(inner, str):
            where[key] = random.choice((inner + " ", inner[:-1], inner.upper(), inner * 2, [inner],
                                        inner.encode().hex(), "\ud83d" + inner))
        case 9 if isinstance(inner, list):
            where[key] = random.choice((inner[1:], inner + inner, inner[::-1], inner * 50,
                                        dict(enumerate(inner))))
        case 9 if isinstance(inner, dict):
            where[key] = random.choice((list(inner), list(inner.values()), {**inner, "new": 1},
                                        dict.fromkeys(inner), [inner]))
        case 10:
            where[key] = [inner]
        case 11:
            where[key] = {str(key): inner}
        case _:
            where[key] = "@raw@"
    return raw


def _choose_place(random, value):
    """Return a container and a key; places near the root are as likely as the many below."""
    while True:
        keys = list(value) if isinstance(value, dict) else range(len(value))
        key = random.choice(keys)
        inner = value[key]
        if not (isinstance(inner, (dict, list)) and inner) or random.random() < 0.25:
            return value, key
        value = inner


# --- safetensors and checkpoints ------------------------------------------------------------


def change_header(random, content):
    """Change the header of a safetensors file, or its values."""
    header, values = split_header(content)
    match random.randrange(8):
        case 0:
            floats = bytearray(values)
            place = random.randrange(max(1, len(floats) // 4)) * 4
            floats[place:place + 4] = struct.pack(
                "<f", random.choice((math.nan, math.inf, -1e30, 0.0, 1e-40))
            )
            return join_header(json.dumps(header), bytes(floats))
        case 1:
            size = random.choice((0, 1, 2**20, 2**31, 2**63, 2**64 - 1, len(values)))
            return size.to_bytes(8, "little") + content[8:]
        case 2:
            return join_header(json.dumps(header), values + bytes(random.choice((1, 4, 1000))))
        case _:
            return join_header(_dump(random, header), values)


def change_record(random, content):
    """Change the header of a checkpoint, and write the checksum that belongs to it."""
    header, values = split_header(content)
    metadata = header["__metadata__"]
    if random.random() < 0.8:
        metadata["bertsent"] = _dump(random, json.loads(metadata["bertsent"]))
        text = json.dumps(header)
    else:
        metadata["crc32"] = "0" * 8
        text = _dump(random, header)
    metadata = json.loads(text).get("__metadata__")
    if not isinstance(metadata, dict) or not isinstance(metadata.get("crc32"), str):
        return join_header(text, values)
    old = metadata["crc32"]  # replaced as `write_checkpoint` does
    blank = text.replace(f'"crc32": "{old}"', '"crc32": "00000000"')
    crc = f"{zlib.crc32(join_header(blank, values)):08x}"
    return join_header(blank.replace('"crc32": "00000000"', f'"crc32": "{crc}"'), values)


def split_header(content):
    """Return the header of a safetensors file, and its values."""
    end = 8 + int.from_bytes(content[:8], "little")
    return json.loads(content[8:end]), content[end:]


def join_header(text, values):
    """Return a safetensors file with the text of a header, and its values."""
    head = text.encode("utf-8", "surrogatepass")
    head += b" " * (-len(head) % 8)
    return len(head).to_bytes(8, "little") + head + values


# --- arrays ---------------------------------------------------------------------------------


def change_array(random, content):
    """Change the header of an array of NumPy, or its values."""
    size = int.from_bytes(content[8:10], "little")
    header, values = content[10:10 + size].decode("latin1"), content[10 + size:]
    before, _, rest = header.partition("'descr': ")
    descr, _, rest = rest.partition(", 'fortran_order': ")
    order, _, shape = rest.partition(", 'shape': ")
    shape = shape[:shape.index(")") + 1]
    match random.randrange(6):
        case 0:
            descr = f"'{random.choice(_DESCRS)}'"
        case 1:
            shape = random.choice(_SHAPES)
        case 2:
            order = random.choice(("True", "1", "None", "False or True"))
        case 3:
            values = random.choice((values[:-1], values * 2, values[8:], b""))
        case 4:
            before = random.choice(
                ("{'a': 1, ", "", "[", "{" * 60, "'''", "\\", "{'descr': '<u8', ")
            )
        case 5:
            version = random.choice((b"\x02\x00", b"\x03\x00", b"\x01\x01", b"\x00\x00"))
            return content[:6] + version + content[8:]
    header = f"{before}'descr': {descr}, 'fortran_order': {order}, 'shape': {shape}, }}"
    header = header.ljust((len(header) + 11 + 63) // 64 * 64 - 11) + "\n"
    return content[:8] + struct.pack("<H", len(header)) + header.encode("latin1") + values


def change_archive(random, content):
    """Change an array in an archive, which then has the right checksums, or the archive."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        entries = {name: archive.read(name) for name in archive.namelist()}
    names = list(entries)
    name, other = random.choice(names), random.choice(names)
    kind = random.choice((zipfile.ZIP_STORED,) * 9 + (zipfile.ZIP_DEFLATED,))
    match random.randrange(8):
        case 0:
            entries[name], entries[other] = entries[other], entries[name]
        case 1:
            del entries[name]
        case 2:
            entries[name + "s"] = entries.pop(name)
        case 3:
            values = bytearray(entries[name])
            place = random.randrange(128, len(values)) // 4 * 4
            values[place:place + 4] = struct.pack(
                "<i", random.choice((-1, -2, 2, 5, 2**31 - 1, -2**31, 2143289344))
            )
            entries[name] = bytes(values)
        case _:
            entries[name] = change_array(random, entries[name])
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", kind) as archive:
        for key, value in entries.items():
            archive.writestr(zipfile.ZipInfo(key, (1980, 1, 1, 0, 0, 0)), value, kind)
    return file.getvalue()
