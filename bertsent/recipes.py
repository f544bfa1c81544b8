"""Parameters of `BertClassifier` that go well together, found by a search on film reviews.

The search, what each choice gave and what it cost are in ``docs/recipes.md``.
"""

from types import MappingProxyType

RECIPES = MappingProxyType({
    # The most accuracy.
    "best": MappingProxyType({
        "max_length": 512,
        "long_text": "head+tail",
        "epochs": 2,
        "pooling": "mean",
        "learning_rate": 1e-4,
    }),
    # The most accuracy for little time.
    "quick": MappingProxyType({
        "max_length": 128,
        "long_text": "head+tail",
        "epochs": 1,
        "learning_rate": 2e-4,
    }),
})
