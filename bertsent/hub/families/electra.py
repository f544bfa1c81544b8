"""ELECTRA (Clark et al. 2020): encoders of BERT's kind, with an output of their own.

Its discriminators are the models to fine-tune. Word embeddings may be narrower than the layers.
"""

from bertsent.hub.families.base import Family, Head
from bertsent.hub.families.bert import BERT

__all__ = ["ELECTRA"]

ELECTRA = Family(
    model_type="electra",
    name="ELECTRA",
    examples=("google/electra-small-discriminator",),
    class_stem="Electra",
    prefix="electra.",
    keys={**BERT.keys, "embedding_size": "embedding_size"},
    # As in ElectraConfig of transformers.
    defaults={**BERT.defaults, "embedding_size": 128},
    encoder={role: name.replace("bert.", "electra.", 1) for role, name in BERT.encoder.items()}
    | {"embeddings.projection": "electra.embeddings_project"},
    classifier=Head(
        kind="dropout_dense_gelu",
        parts={
            "dense layer": {"head.dense": "classifier.dense"},
            "classifier": {"head.output": "classifier.out_proj"},
        },
    ),
    # Discriminators were not trained to predict tokens, and the head of generators is another one.
    masked_lm=None,
    tokenizer_class="ElectraTokenizer",
    special_tokens=BERT.special_tokens,
    # Those of a discriminator. The head of a generator is reported: it is the smaller of the two
    # models, and rarely the one that is meant.
    ignored=("discriminator_predictions.",),
)
