"""What a learning curve can measure. In a module of its own, so that help is fast."""

SCORINGS = ("accuracy", "macro_f1", "quadratic_kappa")
