"""The names of the methods, which the command line needs before anything is imported."""

METHODS = ("integrated_gradients", "occlusion")
DEFAULT_TOLERANCE = 0.05
