/* A word of any length -> its pieces, each the longest possible, in time linear in its length.
 *
 * The vocabulary is a trie with failure links (Song et al. 2021, "Fast WordPiece
 * Tokenization"). Where the trie cannot go on from a node, the node's `pops` are the pieces
 * that are certain by then, and its failure link is where the rest of what was read stands
 * among the continuation pieces. */
#ifndef BS_TOKENIZER_WORDPIECE_H
#define BS_TOKENIZER_WORDPIECE_H

#include "tokenizer/vocab.h"

typedef struct {
    int32_t failure;    /* node, or -1: no piece matches */
    uint32_t pop_start; /* in `pops` */
    uint32_t pop_count;
} bs_trie_node;

typedef struct {
    uint64_t *edges; /* open addressing: node << 8 | byte in the upper half, child below */
    uint32_t edge_mask;
    bs_trie_node *nodes; /* 0 is the root of words, 1 of continuations */
    int32_t *pops;
    int64_t n_nodes, n_pops;
} bs_wordpiece;

/* `prefix` is what marks a continuation in the vocabulary. Tokens of more than `max_bytes`
 * bytes, prefix not counted, are left out: no word is long enough. */
bs_status bs_wordpiece_init(bs_wordpiece *wp, const bs_vocab *vocab, const bs_text *prefix,
                            int64_t max_bytes, bs_error *e);
void bs_wordpiece_clear(bs_wordpiece *wp);

/* Writes the pieces of a word, at most `length` of them, and returns how many; 0 if some part
 * of it is not in the vocabulary. */
int64_t bs_wordpiece_split(const bs_wordpiece *wp, const uint8_t *bytes, int64_t length,
                           int32_t *ids);

#endif
