"""Look into built distributions: all that must be there, nothing that must not.

    python check_wheel.py FILE...

Files are wheels, or source distributions of the tree that this program is in.
"""

import sys
import tarfile
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
MEGABYTE = 1_000_000
LARGEST_WHEEL = 15 * MEGABYTE
LARGEST_SOURCE = 10 * MEGABYTE
COMPILED = (".o", ".pyc", ".so", ".dylib")
# Whatever lies in these belongs to the source.
SOURCE_FOLDERS = (".ci", "benchmarks", "bertsent", "csrc", "docs", "tests")


def check_wheel(path):
    """Yield what is wrong with a wheel."""
    with zipfile.ZipFile(path) as wheel:
        names = wheel.namelist()
    wanted = [
        "bertsent/__init__.py",
        "bertsent/_libs/OPENBLAS-LICENSE.txt",
        "bertsent/sample/reviews.csv",
        "bertsent/sample/README.md",
        "bertsent/py.typed",
        "bertsent/_core.pyi",
    ]
    wanted += [stub.relative_to(ROOT).as_posix()
               for stub in (ROOT / "bertsent").rglob("__init__.pyi")]
    yield from (f"misses {name}" for name in wanted if name not in names)
    for what in ("bertsent/_core.", "bertsent/_libs/libbertsent_blas."):
        if sum(name.startswith(what) and not name.endswith(".pyi") for name in names) != 1:
            yield f"must hold one file {what}*"
    if not any(name.endswith(".dist-info/licenses/LICENSE") for name in names):
        yield "misses LICENSE"
    for name in names:
        top = name.split("/")[0]
        if top != "bertsent" and not top.endswith(".dist-info"):
            yield f"installs {name} outside the package"
        if name.endswith((".c", ".h", ".o", ".pyc")):
            yield f"must not hold {name}"
    yield from check_size(path, LARGEST_WHEEL)


def check_size(path, most):
    """Yield a line if a file is too large."""
    size = path.stat().st_size
    if size > most:
        yield f"has {size / MEGABYTE:.1f} MB, more than {most / MEGABYTE:.0f}"


def check_source(path):
    """Yield what is wrong with a source distribution."""
    with tarfile.open(path) as source:
        names = [name.partition("/")[2] for name in source.getnames()]
    files = [file for folder in SOURCE_FOLDERS for file in (ROOT / folder).rglob("*")]
    wanted = {file.relative_to(ROOT).as_posix() for file in (*files, *ROOT.glob("*"))
              if file.is_file()}
    wanted = {name for name in wanted - {".gitignore"}
              if not name.endswith(COMPILED) and not name.startswith("bertsent/_libs/")}
    yield from (f"misses {name}" for name in sorted(wanted - set(names)))
    yield from (f"must not hold {name}" for name in names
                if name.endswith(COMPILED) or name.startswith("bertsent/_libs"))
    yield from check_size(path, LARGEST_SOURCE)


def main():
    failed = False
    for path in map(Path, sys.argv[1:]):
        problems = list((check_wheel if path.suffix == ".whl" else check_source)(path))
        for problem in problems:
            print(f"{path.name}: {problem}")
        if not problems:
            print(f"{path.name}: {path.stat().st_size / MEGABYTE:.1f} MB, nothing missing")
        failed = failed or bool(problems)
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
