/* The tokenizer once more, slow and plain: lists searched from end to end, character by
 * character. What it shares with the fast one are the tables of characters and the normaliser,
 * which it hands a whole text at once. */
#ifndef PLAIN_TOKENIZER_H
#define PLAIN_TOKENIZER_H

#include "tokenizer/tokenizer.h"

#define PLAIN_MAX_ADDED 20

typedef struct {
    const bs_tokenizer *tok; /* normalises */
    const bs_text *vocab;    /* borrowed, as are the added tokens */
    int n_vocab;
    bs_text prefix;
    const bs_added_token *added;
    int n_added;
    struct {
        uint32_t *codes; /* normalised if so it is sought */
        int64_t n;
    } content[PLAIN_MAX_ADDED];
    const bs_charmap *map;
    uint8_t lengths[1024]; /* of the tokens that there are */
} plain_tokenizer;

/* Aborts if there is no memory. */
void plain_init(plain_tokenizer *plain, const bs_tokenizer *tok, const bs_text *vocab,
                int n_vocab, bs_text prefix, const bs_added_token *added, int n_added);
void plain_clear(plain_tokenizer *plain);

/* Appends the pieces of a text that has no surrogates, without [CLS] and [SEP]. */
void plain_encode(const plain_tokenizer *plain, const uint32_t *codes, int64_t n,
                  bool plain_specials, bs_ids *ids);

/* malloc and realloc that abort; `size` may be 0. */
void *must_alloc(void *old, size_t size);

#endif
