"""How many threads to use: what the caller says, the environment, or the machine."""

import math
import numbers
import os
from pathlib import Path


def resolve_n_threads(n_threads=None):
    """Number of threads for a call.

    Parameters
    ----------
    n_threads : int or None
        A number of at least 1 is taken as it is. None asks, in this order,
        ``BERTSENT_NUM_THREADS``, ``OMP_NUM_THREADS``, and the smaller of the CPU
        affinity and the cgroup quota of the process.

    Returns
    -------
    int
    """
    return explain_n_threads(n_threads)[0]


def explain_n_threads(n_threads=None):
    """The number of `resolve_n_threads`, and a few words on where it came from."""
    if n_threads is not None:
        if (
            not isinstance(n_threads, numbers.Integral)
            or isinstance(n_threads, bool)
            or n_threads < 1
        ):
            raise ValueError(
                f"n_threads={n_threads!r}: expected a whole number of at least 1, "
                "or None for all that the process may use"
            )
        return int(n_threads), "as asked for"
    own = os.environ.get("BERTSENT_NUM_THREADS", "").strip()
    if own:
        if not own.isdecimal() or int(own) < 1:
            raise ValueError(
                f"BERTSENT_NUM_THREADS={own!r} in the environment: "
                "expected a whole number of at least 1"
            )
        return int(own), f"BERTSENT_NUM_THREADS={own}"
    # OpenMP allows a list, one number a nesting level; the first is the outermost.
    # Whatever else stands there is meant for another program and is passed over.
    openmp = os.environ.get("OMP_NUM_THREADS", "").split(",")[0].strip()
    if openmp.isdecimal() and int(openmp) >= 1:
        return int(openmp), f"OMP_NUM_THREADS={openmp}"
    cpus, quota = _affinity(), cgroup_quota()
    if available_cpus() < cpus:
        return available_cpus(), f"cgroup quota of {quota:g} CPUs, affinity to {cpus}"
    return cpus, f"affinity to {cpus} CPUs"


def available_cpus():
    """CPUs that the process may use: its affinity, cut to its cgroup's quota."""
    cpus = _affinity()
    quota = cgroup_quota()
    if quota is not None:
        cpus = min(cpus, max(1, math.ceil(quota)))
    return cpus


def _affinity():
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # macOS
        return os.cpu_count() or 1


def cgroup_quota(cgroup_file="/proc/self/cgroup", mount="/sys/fs/cgroup"):
    """CPUs' worth of time that the process's cgroups allow, or None for no limit.

    Reads version 2 (``cpu.max``) and version 1 (``cpu.cfs_quota_us``). A limit set
    on a parent binds its children, so every level up to the mount is looked at; in
    a container the path is often that of the host, and only the mount itself holds.
    """
    readers = {1: _read_v1, 2: _read_v2}
    quotas = [
        readers[version](directory)
        for version, directory in cgroup_directories("cpu", cgroup_file, mount)
    ]
    return min((quota for quota in quotas if quota is not None), default=None)


def cgroup_directories(controller, cgroup_file="/proc/self/cgroup", mount="/sys/fs/cgroup"):
    """Where the limits of the process's cgroups may stand: version (1 or 2) and directory."""
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


def _read_v2(directory):
    try:
        quota, period = (directory / "cpu.max").read_text().split()[:2]
        return None if quota == "max" else int(quota) / int(period)
    except (OSError, ValueError, ZeroDivisionError):
        return None


def _read_v1(directory):
    try:
        quota = int((directory / "cpu.cfs_quota_us").read_text())
        period = int((directory / "cpu.cfs_period_us").read_text())
        return None if quota <= 0 else quota / period
    except (OSError, ValueError, ZeroDivisionError):
        return None
