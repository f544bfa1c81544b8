"""`_core.pyi` agrees with the extension module, and signatures with the arguments of calls."""

import ast
import inspect
from pathlib import Path

import numpy as np
import pytest
from cases import Engine, arrays, engine_config, random_batch, random_params

import bertsent
from bertsent import _core

STUB = Path(bertsent.__file__).with_name("_core.pyi")


def _public(names):
    return {name for name in names if not name.startswith("_")}


def _tree():
    return ast.parse(STUB.read_text(encoding="utf-8")).body


def _definitions(body):
    return {node.name: node for node in body if isinstance(node, ast.FunctionDef | ast.ClassDef)}


def _parameters_of_stub(function, *, drop_first=False):
    """Return (name, kind, default) of each parameter, as `_parameters_of` does."""
    args, kind = function.args, inspect.Parameter
    found = [
        *((arg.arg, kind.POSITIONAL_ONLY) for arg in args.posonlyargs),
        *((arg.arg, kind.POSITIONAL_OR_KEYWORD) for arg in args.args),
    ]
    missing = [kind.empty] * (len(found) - len(args.defaults))
    defaults = [*missing, *(ast.literal_eval(node) for node in args.defaults)]
    found = [(*part, default) for part, default in zip(found, defaults, strict=True)]
    found += [
        (arg.arg, kind.KEYWORD_ONLY, kind.empty if node is None else ast.literal_eval(node))
        for arg, node in zip(args.kwonlyargs, args.kw_defaults, strict=True)
    ]
    if args.vararg:
        found.append((args.vararg.arg, kind.VAR_POSITIONAL, kind.empty))
    return found[1:] if drop_first else found


def _parameters_of(callable_, *, drop_first=False):
    parameters = list(inspect.signature(callable_).parameters.values())[drop_first:]
    return [(p.name, p.kind, p.default) for p in parameters]


def test_the_stub_names_what_the_module_has():
    assert set(_public(_definitions(_tree()))) == _public(dir(_core))


@pytest.mark.parametrize("name", sorted(_public(dir(_core))))
def test_functions_and_types_have_the_parameters_of_the_stub(name):
    node, value = _definitions(_tree())[name], getattr(_core, name)
    assert isinstance(node, ast.ClassDef) == isinstance(value, type)
    if isinstance(node, ast.FunctionDef):
        assert _parameters_of(value) == _parameters_of_stub(node)
        return
    members = _definitions(node.body)
    maker = members.pop("__new__", None) or members.pop("__init__", None)
    if maker is None:
        with pytest.raises(TypeError, match="cannot create"):
            value()
    else:
        assert _parameters_of(value) == _parameters_of_stub(maker, drop_first=True)
    assert _public(members) == _public(dir(value))
    for member, function in members.items():
        is_property = [ast.unparse(d) for d in function.decorator_list] == ["property"]
        assert is_property == inspect.isgetsetdescriptor(getattr(value, member)), member
        if not is_property:
            found = _parameters_of(getattr(value, member), drop_first=True)
            assert found == _parameters_of_stub(function, drop_first=True), member


def test_everything_public_has_a_docstring():
    values = [getattr(_core, name) for name in _public(dir(_core))]
    values += [getattr(t, name) for t in values if isinstance(t, type) for name in _public(dir(t))]
    assert not [value for value in values if not inspect.getdoc(value)]


def _engine(**changes):
    config = engine_config(**changes)
    rng = np.random.default_rng(0)
    engine = Engine(config, random_params(config, rng))
    batch = random_batch(config, rng, [5, 9, 3], weights=True)
    return engine, batch


def _zeros(engine, count):
    return [np.zeros(engine.table[0], np.float32) for _ in range(count)]


def _calls():
    """Return method -> (function that makes an object, required arguments)."""
    def classifier(*names):
        engine, batch = _engine()
        extra = [batch["keys"], batch["labels"], batch["weights"]]
        given = {"batch": arrays(batch), "targets": extra, "cu": batch["cu_seqlens"],
                 "one": _zeros(engine, 1), "three": _zeros(engine, 3), "keys": batch["keys"],
                 "rows": [1, np.zeros((17 * 24,), np.float32)],
                 "line": [np.full(17, 4, np.int32), np.full(3, 0.5, np.float32),
                          np.ones((3, 3), np.float32)]}
        return engine.model, [value for name in names for value in (
            given[name] if isinstance(given[name], list | tuple) else [given[name]])]

    def masked(*names):
        engine, batch = _engine(head="masked_lm")
        tokens = np.arange(0, 17, 4)
        given = {"batch": arrays(batch), "three": _zeros(engine, 3),
                 "targets": [batch["keys"], tokens, batch["ids"][tokens]]}
        return engine.model, [value for name in names for value in given[name]]

    def session():
        engine, batch = _engine()
        return _core.Session(engine.model), [*arrays(batch), batch["keys"]]

    return {
        "score": lambda: classifier("batch"),
        "attribute": lambda: classifier("batch", "line"),
        "pass_size": lambda: classifier("cu"),
        "packed_size": lambda: (classifier()[0], ["float32"]),
        "forward_backward": lambda: classifier("batch", "targets", "one"),
        "frozen_rows": lambda: classifier("batch", "rows"),
        "train_step": lambda: classifier("batch", "targets", "three"),
        "apply": lambda: classifier("three"),
        "mlm_loss": lambda: masked("batch", "targets"),
        "mlm_train_step": lambda: masked("batch", "targets", "three"),
        "forward": session,
        "encode_batch": lambda: (
            _core.Tokenizer(["[UNK]", "a"], unk_id=0, cls_id=0, sep_id=0), [["a b", "a"]]),
    }


def _equal(one, other):
    if isinstance(one, tuple):
        return all(_equal(a, b) for a, b in zip(one, other, strict=True))
    return np.array_equal(one, other)


@pytest.mark.parametrize("method", _calls())
def test_documented_defaults_are_those_of_a_call(method):
    make = _calls()[method]
    target, required = make()
    names = [*inspect.signature(getattr(target, method)).parameters.values()]
    defaults = {p.name: p.default for p in names if p.default is not p.empty}
    assert defaults and len(names) - len(required) <= len(defaults)
    plain = getattr(target, method)(*required)
    # A new model, since some calls change it.
    target, required = make()
    spelled = dict(zip([p.name for p in names], required, strict=False))
    assert _equal(getattr(target, method)(**spelled, **defaults), plain)


def test_methods_with_defaults_are_all_called_here():
    with_defaults = {
        name
        for value in (_core.Model, _core.Session, _core.Tokenizer)
        for name in _public(dir(value))
        if callable(getattr(value, name)) and any(
            default is not inspect.Parameter.empty
            for _, _, default in _parameters_of(getattr(value, name)))
    }
    assert with_defaults == set(_calls())
