"""Parameters of `BertClassifier` that go well together, found by a search on film reviews.

The search, and what each recipe gave in how much time, are in ``docs/recipes.md``. The learning
rate is "auto", which goes by the size of the model.
"""

from types import MappingProxyType

RECIPES = MappingProxyType({
    # The most accuracy: long parts of all texts, twice, by two models that are not alike.
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
    # What ten minutes give: short parts of as many texts as there is time for.
    "quick": MappingProxyType({
        "max_length": 128,
        "long_text": "tail",
        "inference_long_text": "windows",
        "pooling": "mean",
        "time_budget": "10min",
    }),
})
