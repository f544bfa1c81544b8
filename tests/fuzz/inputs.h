/* What the fuzz target makes from its input: a tokenizer, the slow tokenizer, and texts. */
#ifndef BS_FUZZ_INPUTS_H
#define BS_FUZZ_INPUTS_H

#include "common.h"
#include "plain_tokenizer.h"

#define MAX_TEXTS 24
#define MAX_CODES 12000 /* of all texts together */
#define MAX_DERIVED 64  /* tokens of a vocabulary in the input */
#define MAX_VOCAB 120

typedef struct {
    bs_tokenizer tok;
    plain_tokenizer plain;
    bs_text vocab[MAX_VOCAB];
    bs_added_token added[PLAIN_MAX_ADDED];
    int n_vocab, n_added;
    bool strips; /* added tokens take white space beside them */
} fixture;

typedef struct {
    uint32_t *codes;
    int64_t starts[MAX_TEXTS + 1];
    int n;
} text_list;

/* The caller frees texts->codes. */
void texts_read(text_list *texts, const uint8_t *data, size_t size);
bool is_surrogate(uint32_t code);
bs_text text_make(const text_list *texts, int i, bs_text_form form);

/* `normalizer` is 0..15; `limit`, `added` and `prefix` are 0..3. */
const fixture *fixture_fixed(int normalizer, int limit, int added, bool strips);
void fixture_derive(fixture *f, const text_list *texts, int normalizer, int limit, int added,
                    bool strips, int prefix);
void derived_clear(fixture *f);

#endif
