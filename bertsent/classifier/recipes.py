"""Parameters of `BertClassifier` that were tuned together, on film reviews.

``docs/recipes.md`` describes the search, and the accuracy and time of each recipe. The learning
rate is "auto", because it depends on the model.
"""

import difflib
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from bertsent.classifier.members import is_list

RECIPES: Mapping[str, Mapping[str, Any]] = MappingProxyType({
    # For accuracy: two different models, each trained for two epochs on long parts of the texts.
    "best": MappingProxyType({
        "long_text": "tail",
        "inference_long_text": "windows",
        "epochs": 2,
        "pooling": "mean",
        "members": (
            {"max_length": 512, "freeze_layers": 2, "freeze_dropout": True},
            {"max_length": 256},
        ),
    }),
    # For ten minutes of training, on as many texts as there is time for.
    "quick": MappingProxyType({
        "freeze_dropout": True,
        "long_text": "tail",
        "inference_long_text": "windows",
        "pooling": "mean",
        "time_budget": "10min",
    }),
})


def with_recipe(name: str, given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the parameters of a recipe, and those that were given, which override them.

    Parameters
    ----------
    name : str
        A key of `RECIPES`.
    given : mapping of str to object
        Parameters. They also override what the recipe sets for single members.

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
    recipe = dict(RECIPES[name])
    if is_list(recipe.get("members")):
        recipe["members"] = [
            {key: value for key, value in own.items() if key not in given}
            for own in recipe["members"]
        ]
    return recipe | dict(given)
