from .gradients import (
    MOST_STEPS as MOST_STEPS,
    integrate as integrate,
)
from .methods import (
    DEFAULT_TOLERANCE as DEFAULT_TOLERANCE,
    METHODS as METHODS,
)
from .occlusion import occlude as occlude
from .page import (
    render as render,
    render_legend as render_legend,
    render_words as render_words,
)
from .result import (
    Explanation as Explanation,
    Explanations as Explanations,
)
from .sequences import (
    Sequences as Sequences,
    read_sequences as read_sequences,
)
from .terminal import lay_out as lay_out
from .words import (
    Words as Words,
    find_words as find_words,
)
