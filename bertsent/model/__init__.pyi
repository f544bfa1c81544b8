from .attribution import attribute_pieces as attribute_pieces
from .batch import gather as gather
from .bert import BertForSequenceClassification as BertForSequenceClassification
from .mapped import own_arrays as own_arrays
from .memory import (
    FEW_SHOT_TOKENS as FEW_SHOT_TOKENS,
    PassTokens as PassTokens,
    limit_attribution as limit_attribution,
    limit_training as limit_training,
    training_memory as training_memory,
)
from .precision import (
    INFERENCE as INFERENCE,
    PRECISIONS as PRECISIONS,
    TRAINING as TRAINING,
    go_on_in as go_on_in,
    require_precision as require_precision,
    resolve_precision as resolve_precision,
)
from .scoring import (
    normalize as normalize,
    pool_pieces as pool_pieces,
    score_in_pieces as score_in_pieces,
    score_pieces as score_pieces,
)
from .speed import (
    MINILM as MINILM,
    MOST_TOKENS as MOST_TOKENS,
    Rates as Rates,
    attended as attended,
    estimate as estimate,
    measure as measure,
    measure_rates as measure_rates,
    measure_scoring as measure_scoring,
)
from .vectors import (
    encode_texts as encode_texts,
    open_encoder as open_encoder,
)
