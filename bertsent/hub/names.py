"""Rename the tensors of a file to the names that transformers gives them in a model with a head."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from bertsent.errors import CheckpointError

if TYPE_CHECKING:
    from bertsent.hub.families import Family
    from bertsent.hub.tensors import Stored

__all__ = ["canonical_names", "describe_names"]

# Modules that wrap another one: of torch.compile, DataParallel, FSDP and activation checkpointing.
# They are no part of a model, so their names are left out wherever they stand.
_WRAPPERS = re.compile(
    r"(?:(?<=\.)|^)(?:_orig_mod|module|_fsdp_wrapped_module|_checkpoint_wrapped_module)\."
)
_ADAPTER = re.compile(r"\.(lora_|base_layer\.|ia3_)")


def canonical_names(stored: Mapping[str, Stored], family: Family) -> dict[str, Stored]:
    """Rename tensors to their current names in transformers, in a model with a head.

    Names of wrappers such as ``_orig_mod.`` are left out. Another prefix is left out if all tensors
    have it, because then there is only one way to read the file.

    Parameters
    ----------
    stored : dict of str to Stored
        Tensors by their names in the file.
    family : Family

    Returns
    -------
    dict of str to Stored

    Raises
    ------
    CheckpointError
        Two tensors would have the same name, or the encoder is a part of another model.
    """
    bare = {name: _WRAPPERS.sub("", name) for name in stored}
    prefix = _prefix(stored, bare, family)
    renamed: dict[str, Stored] = {}
    for name, tensor in stored.items():
        new = family.canonical_name(bare[name].removeprefix(prefix))
        if new in renamed:
            raise CheckpointError(
                f"{tensor.path} contains {new} twice, as {renamed[new].name} and as {name}"
            )
        renamed[new] = tensor
    return renamed


def _prefix(stored: Mapping[str, Stored], bare: Mapping[str, str], family: Family) -> str:
    """Return the prefix of all tensors that is no part of their names in the family."""
    adapted = next((name for name in stored if _ADAPTER.search(name)), None)
    if adapted is not None:
        raise CheckpointError(
            f"{stored[adapted].path} contains an adapter beside the weights ({adapted}); merge "
            "both where peft is installed, with merge_and_unload(), and save the result with "
            "save_pretrained"
        )
    # The table of word embeddings shows where in the file the encoder is.
    table = family.encoder["embeddings.word"].removeprefix(family.prefix) + ".weight"
    found = {
        name: bare[name].removesuffix(table) for name in stored
        if bare[name] == table or bare[name].endswith("." + table)
    }
    prefixes = {name: start.removesuffix(family.prefix) for name, start in found.items()}
    if not any(prefixes.values()):
        return ""
    where = next(iter(stored.values())).path
    if len(prefixes) > 1:
        raise CheckpointError(
            f"{where} contains more than one encoder ({', '.join(list(prefixes)[:3])}); save one "
            "of them alone with its save_pretrained"
        )
    (example, prefix), = prefixes.items()
    other = next((name for name in stored if not bare[name].startswith(prefix)), None)
    if other is not None:
        raise CheckpointError(
            f"{where}: the encoder is a part of another model, because the names of its tensors "
            f"begin with {prefix!r} (as in {example}), but not that of {other}. Save the encoder "
            "alone, with its save_pretrained where the model was trained"
        )
    return prefix


def describe_names(names: Iterable[str], family: Family) -> str:
    """Return a remark about the names in a file without a tensor that a model needs."""
    shown = list(itertools.islice(names, 4))
    if not shown:
        return "; there are no tensors at all"
    if any(family.is_encoder(name) for name in shown):
        return ""
    listed = ", ".join(shown[:3]) + ", ..." * (len(shown) > 3)
    return f"; the file has other tensors, {listed}, so it may be another kind of model"
