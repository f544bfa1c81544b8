"""Parameters of `BertClassifier` that were tuned together, on film reviews.

``docs/recipes.md`` describes the search, and the accuracy and time of each recipe. The learning
rates are "auto", because they depend on the model.
"""

import difflib
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from bertsent.classifier.parameters import AUTO_MODEL

_PLANNED: Mapping[str, Any] = MappingProxyType({
    "model": AUTO_MODEL,
    "freeze_dropout": True,
    "long_text": "tail",
    "inference_long_text": "windows",
    "pooling": "mean",
})

# Each trains on as much as there is time for, and chooses between the installed models.
RECIPES: Mapping[str, Mapping[str, Any]] = MappingProxyType({
    "best": MappingProxyType({**_PLANNED, "time_budget": "1h"}),
    "quick": MappingProxyType({**_PLANNED, "time_budget": "10min"}),
})


def with_recipe(name: str, given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the parameters of a recipe, and those that were given, which override them.

    Parameters
    ----------
    name : str
        A key of `RECIPES`.
    given : mapping of str to object
        Parameters.

    Returns
    -------
    dict

    Raises
    ------
    ValueError
        There is no such recipe.
    """
    if name not in RECIPES:
        near = difflib.get_close_matches(str(name), RECIPES, n=1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        raise ValueError(
            f"there is no recipe {name!r}, only {' and '.join(map(repr, RECIPES))}{hint}"
        )
    return dict(RECIPES[name]) | dict(given)
