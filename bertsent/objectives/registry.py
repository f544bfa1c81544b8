"""The table of objectives by problem type, and their entries in ``bertsent.json``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from bertsent.objectives.base import Objective
from bertsent.objectives.classification import SingleLabelClassification
from bertsent.objectives.multi_label import MultiLabelClassification
from bertsent.objectives.ordinal import OrdinalClassification
from bertsent.objectives.regression import Regression
from bertsent.texts import is_multi_label
from bertsent.wording import spell

if TYPE_CHECKING:
    from bertsent.files import Field

OBJECTIVES: Mapping[str, type[Objective]] = {
    objective.problem_type: objective
    for objective in (
        SingleLabelClassification, MultiLabelClassification, OrdinalClassification, Regression,
    )
}


def choose_objective(
    problem_types: Sequence[str], y: Any, *, ordinal: bool = False
) -> type[Objective]:
    """Return the objective that an estimator has for a y.

    Parameters
    ----------
    problem_types : sequence of str
        Keys of `OBJECTIVES`. The first is used for what no other one claims.
    y : object
        What a user passed.
    ordinal : bool, default=False
        The parameter of that name.

    Raises
    ------
    ValueError
        Classes are to be ordered, but a text can have several labels.
    """
    if ordinal:
        if is_multi_label(y):
            raise ValueError(
                f"{spell('ordinal', True)} needs one class for each text, but these texts can have "
                f"several labels; use {spell('ordinal', False)}"
            )
        return OrdinalClassification
    kinds = [OBJECTIVES[problem_type] for problem_type in problem_types]
    return next((kind for kind in kinds[1:] if kind.takes(y)), kinds[0])


def objective_to_json(objective: Objective) -> dict[str, Any]:
    """Return the entry of an objective in ``bertsent.json``, as plain values."""
    content = objective.to_json()
    # Version 0.1 had a single problem type and did not write it.
    if objective.problem_type == SingleLabelClassification.problem_type:
        return content
    return {"problem_type": objective.problem_type} | content


def objective_from_json(content: Field) -> Objective:
    """Undo `objective_to_json`."""
    problem_type = content.get("problem_type", SingleLabelClassification.problem_type)
    return OBJECTIVES[problem_type.text(*OBJECTIVES)].from_json(content)
