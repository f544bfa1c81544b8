"""Processes that are killed at random moments; the long form is tests/crash/kills.py."""

import sys

from conftest import ROOT

sys.path.insert(0, str(ROOT / "tests" / "crash"))

import kills


def test_killed_at_random():
    counts, findings = kills.run(8, seed=0)
    assert findings == []
    assert sum(count["killed"] for count in counts.values()) >= 8


def test_a_finding_is_found(monkeypatch):
    """The program notices when a resumed run is not what it was."""

    def forgetful(base, folder):
        kills.fit(base, folder, random_state=int("whole" in folder.name))

    monkeypatch.setitem(kills.KINDS, "fit", forgetful)
    _, findings = kills.run(1, seed=0, kinds=["fit"])
    assert findings
