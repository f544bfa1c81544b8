/* A word of any length -> its pieces, each the longest possible, in linear time.
 *
 * The vocabulary is a trie with failure links (Song et al. 2021, "Fast WordPiece Tokenization").
 * Where the trie has no edge to continue, the node's `pops` are the pieces that are certain by
 * then, and its failure link is the node that the rest of the bytes read reaches among the
 * continuation pieces. */
#ifndef BS_TOKENIZER_WORDPIECE_H
#define BS_TOKENIZER_WORDPIECE_H

#include "tokenizer/vocab.h"

/* A node's pops are those of the node `pop_before`, an ancestor, and then its own. Sharing them keeps
 * their number below that of the bytes in the vocabulary. */
typedef struct {
    int32_t failure;    /* node, or -1: no piece matches */
    int32_t pop_before; /* node, or -1: none */
    uint32_t pop_start; /* of its own, index into `pops` */
    uint32_t pop_count; /* of all */
} bs_trie_node;

typedef struct {
    uint64_t *edges; /* open addressing: node << 8 | byte in the upper half, child below */
    uint32_t edge_mask;
    bs_trie_node *nodes; /* 0 is the root of words, 1 of continuations */
    int32_t *pops;
    int64_t n_nodes, n_pops;
} bs_wordpiece;

/* `prefix` marks a continuation in the vocabulary. Tokens of more than `max_bytes` bytes, not
 * counting the prefix, are left out: no word is that long. */
bs_status bs_wordpiece_init(bs_wordpiece *wp, const bs_vocab *vocab, const bs_text *prefix,
                            int64_t max_bytes, bs_error *e);
void bs_wordpiece_clear(bs_wordpiece *wp);

/* Writes the pieces of a word, at most `length`, and returns their number; 0 if some part is not in
 * the vocabulary. */
int64_t bs_wordpiece_split(const bs_wordpiece *wp, const uint8_t *bytes, int64_t length,
                           int32_t *ids);

#endif
