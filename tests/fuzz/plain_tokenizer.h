/* A second tokenizer, slow and simple: it searches lists from end to end, character by character.
 * It shares only the tables of characters and the normaliser with the fast one, and gives the
 * normaliser a whole text at once. */
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
        uint32_t *codes; /* normalised if it is searched in normalised text */
        int64_t n;
    } content[PLAIN_MAX_ADDED];
    const bs_charmap *map;
    uint8_t lengths[1024]; /* of the existing tokens */
} plain_tokenizer;

/* Aborts if there is no memory. */
void plain_init(plain_tokenizer *plain, const bs_tokenizer *tok, const bs_text *vocab,
                int n_vocab, bs_text prefix, const bs_added_token *added, int n_added);
void plain_clear(plain_tokenizer *plain);

/* Appends the pieces of a text that has no surrogates, without [CLS] and [SEP]. */
void plain_encode(const plain_tokenizer *plain, const uint32_t *codes, int64_t n,
                  bool plain_specials, bs_ids *ids);

#endif
