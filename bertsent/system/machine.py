"""Describe the machine: processor, kernels, threads, memory and versions."""

import hashlib
import os
import platform
import re
import resource
import sys
from importlib import metadata
from os import PathLike
from pathlib import Path
from typing import Any

import bertsent
from bertsent.system.threads import cgroup_directories, explain_n_threads


def describe_machine(n_threads: int | None = None) -> dict[str, Any]:
    """Return a description of the machine.

    Parameters
    ----------
    n_threads : int or None, default=None
        Number of threads, as in `resolve_n_threads`.

    Returns
    -------
    dict
        Plain values that can be written as JSON. Where something is wrong, the value is None, and
        ``problems`` has a message.
    """
    problems: list[str] = []
    model, features = read_processor()
    found: dict[str, Any] = {
        "versions": _versions(),
        "platform": platform.platform(),
        "processor": {"model": model, "features": features},
        "memory": read_memory(),
        "threads": None,
        "engine": None,
        "problems": problems,
    }
    try:
        number, origin = explain_n_threads(n_threads)
        found["threads"] = {"number": number, "from": origin}
    except ValueError as error:
        problems.append(str(error))
    try:
        found["engine"] = describe_engine()
    except (ImportError, ValueError) as error:
        problems.append(f"the engine cannot be used: {error}")
    return found


def describe_engine() -> dict[str, Any]:
    """Return which kernels and precisions are available and used, and which BLAS is linked."""
    from bertsent import _core

    libraries = Path(bertsent.__file__).resolve().parent / "_libs"
    bundled = any(libraries.glob("libbertsent_blas.*"))
    return {
        "kernels": _core.isa(),
        "kernels_available": _core.isa_list(),
        "BERTSENT_ISA": os.environ.get("BERTSENT_ISA") or None,
        "blas": _core.blas_info(),
        "blas_from": "bundled" if bundled else "system",
        "precisions": _core.precisions(),
        "preferred_precision": _core.preferred_precision(),
    }


def identify_build() -> dict[str, str]:
    """Return what decides how results are rounded, as far as it depends on the machine.

    Returns
    -------
    dict of str to str
        The instruction set, a hash of the compiled engine and its bundled libraries, the versions
        of bertsent, Python and NumPy, the BLAS, the processor and the platform.
    """
    from bertsent import _core

    libraries = Path(bertsent.__file__).resolve().parent / "_libs"
    digest = hashlib.blake2b(digest_size=8)
    for path in (Path(_core.__file__), *sorted(libraries.glob("*.so*"))):
        digest.update(path.read_bytes())
    versions = _versions()
    return {
        "instruction_set": _core.isa(),
        "build": digest.hexdigest(),
        "bertsent": bertsent.__version__,
        "python": platform.python_version(),
        "numpy": str(versions["numpy"]),
        "blas": _core.blas_info(),
        "processor": read_processor()[0],
        "platform": platform.platform(),
    }


def feature_names() -> dict[str, str]:
    """Return the processor features that the engine's instruction sets require.

    Returns
    -------
    dict of str to str
        Names in Linux, and names to display, as in ``{"avx512_vnni": "AVX512-VNNI", ...}``. In
        the order of the instruction sets.
    """
    from bertsent import _core

    flags = [flag for row in _core.isa_table() for flag in row["features"]]
    return {flag: re.sub("^(avx512|avx|amx)_?(?=[a-z])", r"\1-", flag).upper() for flag in flags}


def read_processor(
    cpuinfo: str | PathLike[str] = "/proc/cpuinfo",
) -> tuple[str, list[str] | None]:
    """Return the name of the processor, and which of `feature_names` it has.

    The features are None if the system does not list them, or if the engine cannot be loaded.
    """
    name = platform.processor() or platform.machine()
    try:
        lines = Path(cpuinfo).read_text().splitlines()
    except OSError:
        return name, None
    facts: dict[str, str] = {}
    for line in lines:
        key, _, value = line.partition(":")
        facts.setdefault(key.strip(), value.strip())
    name = facts.get("model name") or name
    if "flags" not in facts:
        return name, None
    flags = set(facts["flags"].split())
    try:
        return name, [shown for flag, shown in feature_names().items() if flag in flags]
    except ImportError:
        return name, None


def read_memory(
    meminfo: str | PathLike[str] = "/proc/meminfo", **where: str | PathLike[str]
) -> dict[str, int | None]:
    """Return the total and the available memory.

    Parameters
    ----------
    meminfo : path-like, default="/proc/meminfo"
    **where
        Keyword arguments of `bertsent.system.threads.cgroup_directories`.

    Returns
    -------
    dict of str to int or None
        ``total``, ``available`` and ``cgroup_limit`` in bytes; None if unknown or unlimited.
        ``available`` is at most what the cgroup allows.
    """
    sizes = {}
    try:
        for line in Path(meminfo).read_text().splitlines():
            key, _, value = line.partition(":")
            sizes[key] = int(value.split()[0]) * 1024
    except (OSError, ValueError, IndexError):
        pass
    total, available = sizes.get("MemTotal"), sizes.get("MemAvailable")
    if total is None:
        try:
            total = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
        except (ValueError, OSError):
            total = None
    limit = None
    names = {1: ("memory.limit_in_bytes", "memory.usage_in_bytes"),
             2: ("memory.max", "memory.current")}
    for version, directory in cgroup_directories("memory", **where):
        bound, used = (_read_bytes(directory / name) for name in names[version])
        # Version 1 expresses "no limit" by a number larger than any memory.
        if bound is None or (total is not None and bound > total):
            continue
        limit = bound if limit is None else min(limit, bound)
        left = max(0, bound - (used or 0))
        available = left if available is None else min(available, left)
    return {"total": total, "available": available, "cgroup_limit": limit}


def read_peak() -> int:
    """Return the peak memory of this process so far, in bytes."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else 1024 * peak


def _read_bytes(path: Path) -> int | None:
    try:
        return int(path.read_text())
    except (OSError, ValueError):
        return None


def _versions() -> dict[str, str | None]:
    versions: dict[str, str | None] = {
        "bertsent": bertsent.__version__, "python": platform.python_version(),
    }
    for name in ("numpy", "pandas", "scikit-learn", "pyarrow"):
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            versions[name] = None
    return versions
