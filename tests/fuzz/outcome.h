/* The result of a batch, and checks of it. */
#ifndef BS_FUZZ_OUTCOME_H
#define BS_FUZZ_OUTCOME_H

#include "inputs.h"

typedef struct {
    bs_status status;
    int64_t item; /* at fault */
    int64_t byte; /* of invalid UTF-8, or -1 */
    bool no_room; /* a pair could not be truncated */
    int64_t n_texts;
    int32_t *ids;
    int64_t *offsets;
    uint8_t *cut;
    int64_t *n_first;
    bs_span *spans; /* if the options say so */
    int64_t *windows;
} outcome;

/* `seconds` may be NULL. */
outcome run(const bs_tokenizer *tok, const bs_text *texts, const bs_text *seconds, int64_t n,
            const bs_encode_options *options);
void outcome_clear(outcome *o);

/* Spans are compared if both have them. */
void check_equal(const outcome *a, const outcome *b, const char *what, int detail);

/* Compares `count` tokens of `a` from `at` on with as many of `b`. */
void check_same(const outcome *a, int64_t at, const outcome *b, int64_t from, int64_t count,
                const char *what, int64_t text);

/* For a text that is not truncated: `count` tokens from `at` on, without [CLS] and [SEP]. */
void check_spans(const fixture *f, const outcome *o, int64_t at, int64_t count,
                 const uint32_t *codes, int64_t n);

#endif
