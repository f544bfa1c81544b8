"""Parameters: their kinds, and that signatures, docstrings and docs agree with the table."""

import ast
import inspect
import re
import runpy
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import bertsent
from bertsent.classifier import declaration
from bertsent.classifier.declaration import either, one_of, path, real, whole
from bertsent.classifier.parameters import (
    CLASSIFICATION,
    PARAMETERS,
    REGRESSION,
    compared_on_resume,
)
from bertsent.features import ENCODING
from bertsent.pretraining.parameters import PRETRAINING

DOCS = Path(__file__).resolve().parent.parent / "docs"
NAN, INF = float("nan"), float("inf")

# --- kinds --------------------------------------------------------------------------------

KINDS = {
    "whole": (
        whole(1), "a whole number of at least 1", [1, np.int8(3), 10**30], [0, 1.0, True, "1"]
    ),
    "whole, limited": (whole(1, 16), "a whole number from 1 to 16", [1, 16], [0, 17, np.True_]),
    "both": (real(0, 1), "a number from 0 to 1", [0, 1, 0.5, np.float32(0.5)], [-0.1, 1.1, False]),
    "left": (real(0, 1, "left"), "a number from 0 to below 1", [0, 0.9], [1, NAN]),
    "right": (real(0, 1, "right"), "a number above 0 and up to 1", [1e-9, 1], [0, "0.5", None]),
    "neither": (real(0, 1, "neither"), "a number above 0 and below 1", [0.5], [0, 1]),
    "at least": (real(0), "a number of at least 0", [0, 1e30], [-1, INF, NAN]),
    "above": (real(0, closed="right"), "a number above 0", [1e-30], [0, INF]),
    "choice": (one_of("a", "b"), '"a" or "b"', ["a", np.str_("b")], ["c", 1, ["a"]]),
    "path": (path("a name", "DIR"), "a name", ["x", Path("x")], ["", " ", b"x", 1]),
    "flag": (declaration.FLAG, "True or False", [True, np.False_], [0, 1, "True", None]),
    "either": (
        either(None, "auto", whole(2), real(0, 1, "neither")),
        'None, "auto", a whole number of at least 2 or a number above 0 and below 1',
        [None, "auto", 2, 0.5], ["other", 1, 1.5, False],
    ),
    "size": (
        declaration.SIZE, 'a number of bytes or a size such as "2GB" or "500MiB"',
        [1, "2GB", "500 MiB"], [0, "2", "0GB", "2 parsecs", 1.5],
    ),
    "time": (
        declaration.TIME,
        'a number of seconds above 0 or a time such as "90s", "30min" or "1h30min"',
        [0.5, 90, "1h30min"], [0, "90", "soon", INF],
    ),
    "class weights": (
        declaration.CLASS_WEIGHTS, "a dictionary of labels and numbers of at least 0",
        [{"a": 0, 1: 2.5}], [{}, {"a": -1}, [1, 2], {"a": "b"}],
    ),
    "members": (
        declaration.MEMBER_LIST, "a list of 1 to 16 dictionaries",
        [[{}], ({"epochs": 1}, {})], [[], [1], [{}] * 17, {}],
    ),
    "random state": (
        declaration.RANDOM_STATE, "a numpy RandomState",
        [np.random, np.random.RandomState(0)], [0, np.random.default_rng(0)],
    ),
}


@pytest.mark.parametrize("name", KINDS)
def test_a_kind_accepts_what_it_says(name):
    kind, allowed, good, bad = KINDS[name]
    assert kind.allowed == allowed
    assert [value for value in good if not kind.accepts(value)] == []
    assert [value for value in bad if kind.accepts(value)] == []


@pytest.mark.parametrize(
    ("kind", "text", "value"),
    [
        (whole(1), "3", 3),
        (real(0), "1e-3", 1e-3),
        (one_of("a", "b"), "b", "b"),
        (path("a name", "DIR"), "some dir", "some dir"),
        (either("auto", whole(1)), "auto", "auto"),
        (either("auto", whole(1)), "2", 2),
        (declaration.SIZE, "1000", 1000),
        (declaration.SIZE, "2GB", "2GB"),
        (declaration.TIME, "90", 90.0),
        (declaration.TIME, "90s", "90s"),
        (either("balanced", declaration.CLASS_WEIGHTS), "a=1, b =2.5", {"a": 1.0, "b": 2.5}),
        (either(whole(1, 16), declaration.MEMBER_LIST), '[{"epochs": 1}, {}]', [{"epochs": 1}, {}]),
    ],
)
def test_a_flag_is_parsed(kind, text, value):
    found = kind.parse(text)
    assert found == value and type(found) is type(value)


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        (whole(1), "0"), (whole(1), "x"), (real(0), "nan"), (one_of("a"), "b"),
        (path("a name", "DIR"), " "), (either(None, whole(1)), "None"), (declaration.SIZE, "0"),
        (declaration.TIME, "inf"), (declaration.CLASS_WEIGHTS, "=1"),
        (declaration.MEMBER_LIST, "{}"), (declaration.MEMBER_LIST, "[1"),
    ],
)
def test_a_flag_that_is_refused_names_what_is_allowed(kind, text):
    with pytest.raises(ValueError) as caught:
        kind.parse(text)
    assert str(caught.value) == f"expected {kind.allowed_text}, got {text!r}"
    assert not re.search("None|True|dictionary|RandomState", kind.allowed_text)


@pytest.mark.parametrize("parameter", PARAMETERS, ids=lambda parameter: parameter.name)
def test_words_that_are_allowed_can_be_typed(parameter):
    kind = parameter.kind
    assert all(kind.accepts(kind.parse(word)) for word in kind.choices)
    quoted = re.findall('"([a-z0-9_+]+)"', kind.allowed_text.partition(" such as ")[0])
    assert quoted == list(kind.choices)


# --- one declaration ----------------------------------------------------------------------


def documented(docstring):
    """Names of the section "Parameters" of a docstring, each with its type or None."""
    section = inspect.cleandoc(docstring).split("Parameters\n----------\n")[1]
    section = re.split(r"\n\n\w+\n-+\n", section)[0]
    found = {}
    for names, kind in re.findall(r"^(\w[\w, ]*?)(?: : (.+))?$", section, re.MULTILINE):
        found |= dict.fromkeys(names.split(", "), kind or None)
    return found


def test_what_a_docstring_documents_is_found():
    text = """Do.

    Parameters
    ----------
    a : int, default=1
        Of a kind : that is not one.
    b, c
        As there.

    Returns
    -------
    d : int
    """
    assert documented(text) == {"a": "int, default=1", "b": None, "c": None}


@pytest.mark.parametrize(
    ("function", "docstring", "table"),
    [
        (bertsent.BertClassifier, bertsent.BertClassifier.__doc__, CLASSIFICATION),
        (bertsent.BertEncoder, bertsent.BertEncoder.__doc__, ENCODING),
        (bertsent.pretrain, bertsent.pretrain.__doc__, PRETRAINING),
    ],
    ids=["BertClassifier", "BertEncoder", "pretrain"],
)
def test_signature_docstring_and_table_agree(function, docstring, table):
    signature = dict(inspect.signature(function).parameters)
    described = documented(docstring)
    assert list(described) == list(signature)
    for name in ("texts", "output", "overwrite") if function is bertsent.pretrain else ():
        signature.pop(name)
    assert [p.name for p in table] == list(signature)
    for parameter in table:
        default = signature[parameter.name].default
        assert (parameter.default, type(parameter.default)) == (default, type(default))
        parameter.check(default)
        kind = described[parameter.name]
        if kind is None:  # "As for `BertClassifier`"
            other = next(p for p in PARAMETERS if p.name == parameter.name)
            assert function is bertsent.pretrain and other == parameter
        else:
            said = ast.literal_eval(kind.partition("default=")[2])
            assert (said, type(said)) == (default, type(default)), parameter.name


def test_the_regressor_has_all_parameters_but_those_about_classes():
    signature = inspect.signature(bertsent.BertRegressor).parameters
    assert {name: each.default for name, each in signature.items()} == {
        p.name: p.default for p in REGRESSION
    }
    reg = bertsent.BertRegressor(epochs=2, loss="huber")
    assert reg.get_params() == {p.name: p.default for p in REGRESSION} | {
        "epochs": 2, "loss": "huber",
    }
    with pytest.raises(TypeError, match="BertRegressor has no parameter 'class_weight'"):
        bertsent.BertRegressor(class_weight="balanced")


def test_the_page_of_the_docs_is_that_of_the_tables():
    page = runpy.run_path(str(DOCS / "make_parameters.py"))
    written = page["TARGET"].read_text(encoding="utf-8")
    assert written == page["render"](), "run python docs/make_parameters.py"
    for parameter in (*PARAMETERS, *PRETRAINING):
        assert f"| `{parameter.name}` |" in written


def test_a_resumed_run_compares_what_decides_it():
    values = {p.name: object() for p in reversed(PARAMETERS)}
    compared = compared_on_resume(values)
    assert {"epochs", "long_text", "class_weight", "members", "strip_html"} <= compared.keys()
    assert not {"n_threads", "model", "memory_limit", "callbacks", "resume"} & compared.keys()
    assert list(compared) == [name for name in values if name in compared]
    assert all(compared[name] is values[name] for name in compared)
    assert "mask_probability" in compared_on_resume({"mask_probability": 0.15}, PRETRAINING)


# --- imports ------------------------------------------------------------------------------


def loaded_by(code):
    """Third-party packages and modules of bertsent that some code loads."""
    program = (
        "import sys; before = set(sys.modules)\n"
        f"{code}\n"
        "print(*sorted(set(sys.modules) - before), file=sys.stderr)"
    )
    names = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True,
        cwd=Path(bertsent.__file__).resolve().parent.parent,
    ).stderr.split()
    outside = {name.partition(".")[0] for name in names} - set(sys.stdlib_module_names)
    return outside, {name for name in names if name.startswith("bertsent.")}


def test_importing_the_package_loads_no_other():
    assert loaded_by("import bertsent") == ({"bertsent", "lazy_loader"}, set())


@pytest.mark.parametrize("command", [[], ["train"], ["pretrain"]], ids=" ".join)
def test_help_loads_no_other_package_and_no_command(command):
    outside, modules = loaded_by(f"from bertsent.cli import main; main([*{command}, '--help'])")
    assert outside == {"bertsent", "lazy_loader"}
    assert {name for name in modules if name.startswith("bertsent.cli.")} == {
        f"bertsent.cli.{name}" for name in ("flags", "layout", "output", "parser", "usage")
    }
    assert "bertsent.classifier.parameters" in modules
    assert not {"bertsent._core", "bertsent.classifier.estimator", "bertsent.model.bert"} & modules
