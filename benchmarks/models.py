"""Models for comparisons of speed: MiniLM, MPNet, and base sizes with random weights."""

from pathlib import Path

_BASE = {"vocab_size": 30522, "hidden_size": 768, "num_hidden_layers": 12,
         "num_attention_heads": 12, "intermediate_size": 3072, "hidden_act": "gelu",
         "hidden_dropout_prob": 0.1, "attention_probs_dropout_prob": 0.1,
         "initializer_range": 0.02}
# All read MiniLM's tokens, which are BERT's: speed does not depend on which ids a text has.
RANDOM = {
    "random-base": {"model_type": "bert", **_BASE, "max_position_embeddings": 512,
                    "type_vocab_size": 2, "layer_norm_eps": 1e-12, "pad_token_id": 0},
    "random-distilbert": {"model_type": "distilbert", "vocab_size": 30522, "dim": 768,
                          "n_layers": 6, "n_heads": 12, "hidden_dim": 3072, "activation": "gelu",
                          "dropout": 0.1, "attention_dropout": 0.1, "seq_classif_dropout": 0.2,
                          "initializer_range": 0.02, "max_position_embeddings": 512,
                          "sinusoidal_pos_embds": False, "pad_token_id": 0},
    "random-mpnet": {"model_type": "mpnet", **_BASE, "max_position_embeddings": 514,
                     "relative_attention_num_buckets": 32, "layer_norm_eps": 1e-5,
                     "pad_token_id": 1},
    "random-roberta": {"model_type": "roberta", **_BASE, "vocab_size": 50265,
                       "max_position_embeddings": 514, "type_vocab_size": 1,
                       "layer_norm_eps": 1e-5, "pad_token_id": 1},
}


def directory(name, cache):
    """Return the directory of a model, given its name or a directory.

    One with random weights is written into the folder `cache`, if it is not there yet.
    """
    from bertsent import BertForSequenceClassification, WordPieceTokenizer
    from bertsent.hub import resolve_directory

    if name not in RANDOM:
        return resolve_directory(name)
    folder = Path(cache) / name
    if not folder.exists():
        tokenizer = WordPieceTokenizer.from_pretrained("minilm")
        model = BertForSequenceClassification.from_config(RANDOM[name], random_state=0)
        model.save_pretrained(folder, tokenizer=tokenizer)
    return folder
