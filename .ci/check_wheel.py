"""Look into a built wheel: all that must be there, nothing that must not."""

import sys
import zipfile

with zipfile.ZipFile(sys.argv[1]) as wheel:
    names = wheel.namelist()

wanted = [
    "bertsent/__init__.py",
    "bertsent/_libs/OPENBLAS-LICENSE.txt",
    "bertsent/sample/reviews.csv",
    "bertsent/sample/README.md",
]
problems = [f"misses {name}" for name in wanted if name not in names]
for what, count in (("bertsent/_core.", 1), ("bertsent/_libs/libbertsent_blas.", 1)):
    if sum(name.startswith(what) for name in names) != count:
        problems.append(f"must hold {count} file {what}*")
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
