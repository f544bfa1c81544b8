"""What there is to know of the machine: processor, kernels, threads, memory, versions."""

import os
import platform
import resource
import sys
from importlib import metadata
from pathlib import Path

import bertsent
from bertsent.threads import cgroup_directories, explain_n_threads

# Names in Linux's list of flags, and those that people use; in the order of appearance.
FEATURES = {
    "avx2": "AVX2",
    "fma": "FMA",
    "avx512f": "AVX512-F",
    "avx512bw": "AVX512-BW",
    "avx512dq": "AVX512-DQ",
    "avx512vl": "AVX512-VL",
    "avx512_vnni": "AVX512-VNNI",
    "avx512_bf16": "AVX512-BF16",
    "avx_vnni": "AVX-VNNI",
    "amx_tile": "AMX-TILE",
    "amx_bf16": "AMX-BF16",
    "amx_int8": "AMX-INT8",
}


def describe_machine(n_threads=None):
    """All of it as plain values; what is wrong goes into ``problems`` and is None elsewhere.

    Parameters
    ----------
    n_threads : int or None
        Threads that were asked for.

    Returns
    -------
    dict
    """
    problems = []
    model, features = read_processor()
    found = {
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


def describe_engine():
    """Which kernels are used and which could be, and what computes the matrix products."""
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


def read_processor(cpuinfo="/proc/cpuinfo"):
    """Name of the processor, and those of the features that matter which it has.

    The features are None where the system does not list them.
    """
    name = platform.processor() or platform.machine()
    try:
        lines = Path(cpuinfo).read_text().splitlines()
    except OSError:
        return name, None
    facts = {}
    for line in lines:
        key, _, value = line.partition(":")
        facts.setdefault(key.strip(), value.strip())
    name = facts.get("model name") or name
    if "flags" not in facts:
        return name, None
    flags = set(facts["flags"].split())
    return name, [shown for flag, shown in FEATURES.items() if flag in flags]


def read_memory(meminfo="/proc/meminfo", **where):
    """Bytes of memory in all and still to be had, cut to what the cgroup allows; or None.

    Parameters
    ----------
    meminfo : path-like
    **where
        Of `bertsent.threads.cgroup_directories`.

    Returns
    -------
    dict
        ``total``, ``available`` and ``cgroup_limit``.
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
        # Version 1 writes "no limit" as a number larger than any memory.
        if bound is None or (total is not None and bound > total):
            continue
        limit = bound if limit is None else min(limit, bound)
        left = max(0, bound - (used or 0))
        available = left if available is None else min(available, left)
    return {"total": total, "available": available, "cgroup_limit": limit}


def read_peak():
    """The most bytes of memory that this process has taken so far."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else 1024 * peak


def _read_bytes(path):
    try:
        return int(path.read_text())
    except (OSError, ValueError):
        return None


def _versions():
    versions = {"bertsent": bertsent.__version__, "python": platform.python_version()}
    for name in ("numpy", "pandas", "scikit-learn", "pyarrow"):
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            versions[name] = None
    return versions
