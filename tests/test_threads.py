"""The number of threads that a call uses."""

import os

import pytest

from bertsent.system.threads import available_cpus, cgroup_quota, resolve_n_threads


@pytest.fixture(autouse=True)
def plain_environment(monkeypatch):
    monkeypatch.delenv("BERTSENT_NUM_THREADS", raising=False)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)


def test_a_given_number_wins_over_the_environment(monkeypatch):
    monkeypatch.setenv("BERTSENT_NUM_THREADS", "7")
    assert resolve_n_threads(3) == 3


def test_our_variable_comes_before_openmp(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "5")
    assert resolve_n_threads() == 5
    monkeypatch.setenv("BERTSENT_NUM_THREADS", "7")
    assert resolve_n_threads() == 7


def test_openmp_lists_and_nonsense(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "4,2")
    assert resolve_n_threads() == 4
    monkeypatch.setenv("OMP_NUM_THREADS", "many")
    assert resolve_n_threads() == available_cpus()


@pytest.mark.parametrize("value", ["0", "-2", "two", "1.5"])
def test_our_variable_must_make_sense(monkeypatch, value):
    monkeypatch.setenv("BERTSENT_NUM_THREADS", value)
    with pytest.raises(ValueError, match="BERTSENT_NUM_THREADS"):
        resolve_n_threads()


@pytest.mark.parametrize("value", [0, -1, 1.5, "2", True])
def test_a_given_number_must_make_sense(value):
    with pytest.raises(ValueError, match="n_threads"):
        resolve_n_threads(value)


def test_affinity_is_kept_to(monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {3}, raising=False)
    assert available_cpus() == 1


def test_quota_cuts_the_affinity(monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(16)), raising=False)
    for quota, expected in [(None, 16), (2.5, 3), (0.2, 1), (40.0, 16)]:
        monkeypatch.setattr("bertsent.system.threads.cgroup_quota", lambda quota=quota: quota)
        assert available_cpus() == expected


def write_files(root, files):
    for name, content in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)


@pytest.mark.parametrize(
    ("membership", "files", "expected"),
    [
        ("0::/\n", {"cpu.max": "150000 100000\n"}, 1.5),
        ("0::/\n", {"cpu.max": "max 100000\n"}, None),
        # The parent's limit is the tighter one.
        (
            "0::/a/b\n",
            {"a/cpu.max": "100000 100000\n", "a/b/cpu.max": "400000 100000\n"},
            1.0,
        ),
        # A path of the host that does not exist inside the container.
        ("0::/../elsewhere\n", {"cpu.max": "300000 100000\n"}, 3.0),
        (
            "4:cpu,cpuacct:/job\n",
            {
                "cpu,cpuacct/job/cpu.cfs_quota_us": "200000\n",
                "cpu,cpuacct/job/cpu.cfs_period_us": "100000\n",
            },
            2.0,
        ),
        (
            "1:cpu:/\n0::/\n",
            {"cpu/cpu.cfs_quota_us": "-1\n", "cpu/cpu.cfs_period_us": "100000\n"},
            None,
        ),
        ("0::/\n", {"cpu.max": "garbage\n"}, None),
        ("0::/\n", {}, None),
    ],
)
def test_cgroup_quota(tmp_path, membership, files, expected):
    write_files(tmp_path / "mount", files)
    (tmp_path / "cgroup").write_text(membership)
    assert cgroup_quota(tmp_path / "cgroup", tmp_path / "mount") == expected


def test_no_cgroups(tmp_path):
    assert cgroup_quota(tmp_path / "missing", tmp_path) is None
