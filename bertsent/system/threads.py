"""The number of threads: from the caller, the environment, or the machine."""

import math
import numbers
import os
from collections.abc import Iterator
from os import PathLike
from pathlib import Path

from bertsent.wording import phrase, spell


def resolve_n_threads(n_threads: int | None = None) -> int:
    """Return the number of threads for a call.

    Parameters
    ----------
    n_threads : int or None, default=None
        A number of at least 1 is used as it is. None uses the first of these that is set:
        ``BERTSENT_NUM_THREADS``, ``OMP_NUM_THREADS``, and the smaller of the CPU
        affinity and the cgroup quota of the process.

    Returns
    -------
    int
    """
    return explain_n_threads(n_threads)[0]


def explain_n_threads(n_threads: int | None = None) -> tuple[int, str]:
    """Return the number of `resolve_n_threads` and, in a few words, where it comes from."""
    if n_threads is not None:
        if (
            not isinstance(n_threads, numbers.Integral)
            or isinstance(n_threads, bool)
            or n_threads < 1
        ):
            raise ValueError(
                f"{spell('n_threads', n_threads)}: expected a whole number of at least 1"
                + phrase(python=", or None for all that the process may use", command="")
            )
        return int(n_threads), "as requested"
    own = os.environ.get("BERTSENT_NUM_THREADS", "").strip()
    if own:
        if not own.isdecimal() or int(own) < 1:
            raise ValueError(
                f"BERTSENT_NUM_THREADS={own!r} in the environment: "
                "expected a whole number of at least 1"
            )
        return int(own), f"BERTSENT_NUM_THREADS={own}"
    # OpenMP allows a list with one number per nesting level; the first is the outermost.
    # Any other value is meant for another program and ignored.
    openmp = os.environ.get("OMP_NUM_THREADS", "").split(",")[0].strip()
    if openmp.isdecimal() and int(openmp) >= 1:
        return int(openmp), f"OMP_NUM_THREADS={openmp}"
    cpus, quota = _affinity(), cgroup_quota()
    if available_cpus() < cpus:
        return available_cpus(), f"cgroup quota of {quota:g} CPUs, affinity to {cpus}"
    return cpus, f"affinity to {cpus} CPUs"


def available_cpus() -> int:
    """Return the number of CPUs that the process may use, by affinity and cgroup quota."""
    cpus = _affinity()
    quota = cgroup_quota()
    if quota is not None:
        cpus = min(cpus, max(1, math.ceil(quota)))
    return cpus


def _affinity() -> int:
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # macOS
        return os.cpu_count() or 1


def cgroup_quota(
    cgroup_file: str | PathLike[str] = "/proc/self/cgroup",
    mount: str | PathLike[str] = "/sys/fs/cgroup",
) -> float | None:
    """Return the CPU time that the cgroups of the process allow, in CPUs; None for no limit.

    Reads version 2 (``cpu.max``) and version 1 (``cpu.cfs_quota_us``). A limit on a parent
    also limits its children, so all levels up to the mount are read. In a container, the
    path is often that of the host, and only the mount itself exists.
    """
    readers = {1: _read_v1, 2: _read_v2}
    quotas = [
        readers[version](directory)
        for version, directory in cgroup_directories("cpu", cgroup_file, mount)
    ]
    return min((quota for quota in quotas if quota is not None), default=None)


def cgroup_directories(
    controller: str,
    cgroup_file: str | PathLike[str] = "/proc/self/cgroup",
    mount: str | PathLike[str] = "/sys/fs/cgroup",
) -> Iterator[tuple[int, Path]]:
    """Yield the directories that may limit the process, each as (cgroup version, path)."""
    try:
        lines = Path(cgroup_file).read_text().splitlines()
    except OSError:
        return
    roots_of_v1 = {"cpu": ["cpu", "cpu,cpuacct", "cpuacct,cpu"]}.get(controller, [controller])
    for line in lines:
        _, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if not controllers:
            version, roots = 2, ["", "unified"]
        elif controller in controllers.split(","):
            version, roots = 1, roots_of_v1
        else:
            continue
        parts = [part for part in path.split("/") if part and part != ".."]
        for root in roots:
            for depth in range(len(parts), -1, -1):
                yield version, Path(mount, root, *parts[:depth])


def _read_v2(directory: Path) -> float | None:
    try:
        quota, period = (directory / "cpu.max").read_text().split()[:2]
        return None if quota == "max" else int(quota) / int(period)
    except (OSError, ValueError, ZeroDivisionError):
        return None


def _read_v1(directory: Path) -> float | None:
    try:
        quota = int((directory / "cpu.cfs_quota_us").read_text())
        period = int((directory / "cpu.cfs_period_us").read_text())
        return None if quota <= 0 else quota / period
    except (OSError, ValueError, ZeroDivisionError):
        return None
