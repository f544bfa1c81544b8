"""Look into a built wheel: all that must be there, nothing that must not."""

import sys
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent

with zipfile.ZipFile(sys.argv[1]) as wheel:
    names = wheel.namelist()

wanted = [
    "bertsent/__init__.py",
    "bertsent/_libs/OPENBLAS-LICENSE.txt",
    "bertsent/sample/reviews.csv",
    "bertsent/sample/README.md",
    "bertsent/py.typed",
    "bertsent/_core.pyi",
]
wanted += [path.relative_to(ROOT).as_posix() for path in (ROOT / "bertsent").rglob("__init__.pyi")]
problems = [f"misses {name}" for name in wanted if name not in names]
for what in ("bertsent/_core.", "bertsent/_libs/libbertsent_blas."):
    if sum(name.startswith(what) and not name.endswith(".pyi") for name in names) != 1:
        problems.append(f"must hold one file {what}*")
if not any(name.endswith(".dist-info/licenses/LICENSE") for name in names):
    problems.append("misses LICENSE")
for name in names:
    top = name.split("/")[0]
    if top != "bertsent" and not top.endswith(".dist-info"):
        problems.append(f"installs {name} outside the package")
    if name.endswith((".c", ".h", ".o", ".pyc")):
        problems.append(f"must not hold {name}")
for problem in problems:
    print(f"{sys.argv[1]}: {problem}")
sys.exit(1 if problems else 0)
