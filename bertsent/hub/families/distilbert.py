"""DistilBERT (Sanh et al. 2019), which has half of BERT's layers and was trained to imitate it."""

from bertsent.hub.families.base import Family, Head
from bertsent.hub.families.bert import BERT

__all__ = ["DISTILBERT"]

_LAYER = "distilbert.transformer.layer.{}."

DISTILBERT = Family(
    model_type="distilbert",
    name="DistilBERT",
    examples=("distilbert-base-uncased",),
    class_stem="DistilBert",
    prefix="distilbert.",
    keys={
        "vocab_size": "vocab_size",
        "hidden_size": "dim",
        "num_hidden_layers": "n_layers",
        "num_attention_heads": "n_heads",
        "intermediate_size": "hidden_dim",
        "max_position_embeddings": "max_position_embeddings",
        "hidden_act": "activation",
        "hidden_dropout_prob": "dropout",
        "attention_probs_dropout_prob": "attention_dropout",
        "classifier_dropout": "seq_classif_dropout",
        "pooling": "classifier_pooling",
        "initializer_range": "initializer_range",
        "pad_token_id": "pad_token_id",
    },
    # As in DistilBertConfig of transformers. Its models have no token types, LayerNorm always has
    # the same epsilon, and there is no dropout after the output layer of attention.
    defaults={
        "max_position_embeddings": 512,
        "type_vocab_size": 0,
        "hidden_act": "gelu",
        "layer_norm_eps": 1e-12,
        "hidden_dropout_prob": 0.1,
        "attention_probs_dropout_prob": 0.1,
        "attention_output_dropout_prob": 0.0,
        "classifier_dropout": 0.2,
        "pooling": "cls",
        "initializer_range": 0.02,
        "pad_token_id": 0,
    },
    encoder={
        "embeddings.word": "distilbert.embeddings.word_embeddings",
        "embeddings.position": "distilbert.embeddings.position_embeddings",
        "embeddings.norm": "distilbert.embeddings.LayerNorm",
        "layer.{}.attention.query": _LAYER + "attention.q_lin",
        "layer.{}.attention.key": _LAYER + "attention.k_lin",
        "layer.{}.attention.value": _LAYER + "attention.v_lin",
        "layer.{}.attention.output": _LAYER + "attention.out_lin",
        "layer.{}.attention.norm": _LAYER + "sa_layer_norm",
        "layer.{}.feed_forward.up": _LAYER + "ffn.lin1",
        "layer.{}.feed_forward.down": _LAYER + "ffn.lin2",
        "layer.{}.feed_forward.norm": _LAYER + "output_layer_norm",
    },
    classifier=Head(
        kind="dense_relu",
        parts={
            "dense layer": {"head.dense": "pre_classifier"},
            "classifier": {"head.output": "classifier"},
        },
    ),
    masked_lm=Head(
        kind="masked_lm",
        parts={
            "head for masked tokens": {
                "masked_lm.dense": "vocab_transform",
                "masked_lm.norm": "vocab_layer_norm",
                "masked_lm.output": "vocab_projector",
            },
        },
        tied="vocab_projector.weight",
    ),
    tokenizer_class="DistilBertTokenizer",
    special_tokens=BERT.special_tokens,
    ignored=("vocab_transform.", "vocab_layer_norm.", "vocab_projector."),
)
