"""Reads ``isa_rows.h``: which sources belong to an instruction set, and their compile flags.

Used by ``setup.py``. As a program it prints this machine's architecture or, given a source file,
the file's flags; it exits with 1 if the file is for another architecture.
"""

import re
import sys
import sysconfig
from pathlib import Path

_ROW = re.compile(
    r'BS_ISA\(\s*(?P<name>\w+),\s*(?P<architecture>\w+),\s*(?P<base>\w+),\s*"(?P<flags>[^"\\]*)",'
    r"\s*[\w\s|]+,\s*[\w\s|]+\)"
)
_COMMENT = re.compile(r"/\*.*?\*/", re.DOTALL)


def target_architecture():
    """The architecture that this Python builds for, as ``isa_rows.h`` spells it."""
    found = sysconfig.get_platform().rpartition("-")[2].lower()
    return {"amd64": "x86_64", "arm64": "aarch64"}.get(found, found)


def read_rows(text=None):
    """Return ``{name: (architecture, compile flags)}``, the flags of the base row included."""
    if text is None:
        text = Path(__file__).with_suffix(".h").read_text(encoding="utf-8")
    text = _COMMENT.sub("", text)
    rest = _ROW.sub("", text).split("\n")
    wrong = next((line.strip() for line in rest if line.strip()), None)
    if wrong is not None:
        raise ValueError(f"isa_rows.h: not a row: {wrong}")
    rows = {}
    for row in _ROW.finditer(text):
        name, architecture, base, flags = row.group("name", "architecture", "base", "flags")
        if name in rows:
            raise ValueError(f"isa_rows.h: {name} has two rows")
        if base != name and base not in rows:
            raise ValueError(f"isa_rows.h: {base}, the base of {name}, must stand before it")
        inherited = [] if base == name else rows[base][1]
        rows[name] = (architecture, [*inherited, *flags.split()])
    return rows


def isa_of(path, rows):
    """Return the instruction set that a source file belongs to, or None if every one does."""
    stem = Path(path).stem
    found = [name for name in rows if stem.endswith(f"_{name}")]
    return max(found, key=len, default=None)


def flags_of(path, rows, architecture):
    """Return the compile flags that a source needs besides those of all, or None if it is not
    compiled for this architecture."""
    isa = isa_of(path, rows)
    if isa is None:
        return []
    wanted, flags = rows[isa]
    return flags if wanted in ("any", architecture) else None


if __name__ == "__main__":
    if len(sys.argv) == 1:
        print(target_architecture())
    else:
        own = flags_of(sys.argv[1], read_rows(), target_architecture())
        if own is None:
            sys.exit(1)
        print(*own)
