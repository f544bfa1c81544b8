/* The BERT tokenizer: texts -> token ids. Immutable once made; any number of threads may use one. */
#ifndef BS_TOKENIZER_TOKENIZER_H
#define BS_TOKENIZER_TOKENIZER_H

#include "tokenizer/charmap.h"
#include "tokenizer/ids.h"
#include "tokenizer/normalize.h"
#include "tokenizer/special.h"
#include "tokenizer/vocab.h"
#include "tokenizer/wordpiece.h"

#define BS_MAX_WORD_CHARS 1000000

typedef struct {
    bs_charmap_options normalizer;
    bs_text prefix;         /* of a continuation piece, UTF-8 */
    int64_t max_word_chars; /* a longer word is unknown */
    int32_t unk_id, cls_id, sep_id;
} bs_tokenizer_options;

typedef struct {
    bs_tokenizer_options options; /* without the prefix, which is borrowed */
    int64_t prefix_length;
    bs_vocab vocab;
    bs_wordpiece wordpiece;
    bs_charmap charmap;
    bs_normalizer normalizer;
    bs_special raw;        /* added tokens sought in the text as it comes */
    bs_special normalized; /* and those sought after normalisation; seldom any */
    bs_charmap plain_map;  /* for the text between the latter: it is split, and left as it is */
    bs_normalizer plain;
} bs_tokenizer;

bs_status bs_tokenizer_init(bs_tokenizer *tok, const bs_text *vocab, int64_t n_vocab,
                            const bs_tokenizer_options *options, const bs_added_token *added,
                            int n_added, bs_error *e);
void bs_tokenizer_clear(bs_tokenizer *tok);

/* Words that are not in the vocabulary as a whole come again and again: names, mostly. */
#define BS_CACHE_WORDS 4096
#define BS_CACHE_IDS 10
typedef struct {
    uint64_t low, high;
    uint32_t length; /* 0: free */
    int32_t count;
    int32_t ids[BS_CACHE_IDS];
} bs_cached_word;

/* What one thread needs; zero it before the first use. */
typedef struct {
    bs_cached_word *cache; /* one place for each hash; made after some words were split */
    int64_t n_split;
    bs_normbuf norm;  /* a stretch of text, normalised */
    bs_normbuf whole; /* the normalised text, where added tokens are sought in it */
    uint32_t *starts, *ends;
    uint32_t *pieces; /* of each word, where its ids begin; only where spans are wanted */
    int64_t cap_words;
} bs_scratch;

void bs_scratch_free(bs_scratch *scratch);

/* Which pieces of a text are wanted: the first `head` and the last `tail`. Without a tail, the
 * text is read no further than to see whether there are more, unless `all` are to be counted. */
typedef struct {
    int64_t head, tail;
    bool all;
} bs_wanted;

/* Appends the wanted pieces of a text, without [CLS] and [SEP], and their spans if ids->track
 * (which is what it was in the scratch's first use). *count is how many pieces there are, or, where
 * reading stopped, some number greater than wanted->head. A literal special token is plain text if
 * `plain_specials`. On failure `e` says what is wrong with the text, and ids->n is undefined. */
bs_status bs_text_encode(const bs_tokenizer *tok, bs_scratch *scratch, const bs_text *text,
                         const bs_wanted *wanted, bool plain_specials, bs_ids *ids,
                         int64_t *count, bs_error *e);

/* The text after normalisation, as the library would have it, in scratch->whole. */
bs_status bs_text_normalize(const bs_tokenizer *tok, bs_scratch *scratch, const bs_text *text,
                            bs_error *e);

/* How a text or a pair is cut that has more than `max_length` tokens. */
typedef enum {
    BS_CUT_LONGEST, /* of a pair the longer, until both are equally long, then both */
    BS_CUT_FIRST,
    BS_CUT_SECOND
} bs_cut_which;

typedef enum {
    BS_KEEP_HEAD,
    BS_KEEP_TAIL,
    BS_KEEP_ENDS,   /* a quarter, rounded up, from the beginning and the rest from the end */
    BS_KEEP_WINDOWS /* all, in several sequences; not for pairs */
} bs_cut_form;

typedef struct {
    int64_t max_length; /* of a text or a pair with its special tokens; 0: any */
    bs_cut_which which;
    bs_cut_form form;
    int64_t stride;      /* pieces at the end of a window that the next one begins with */
    bool add_special;    /* [CLS] first [SEP] second [SEP] */
    bool plain_specials; /* as above */
    bool spans;          /* the characters of each token, too */
    int n_threads;
} bs_batch_options;

/* Appends one text, or a pair if `second` is not NULL. *n_first: how many tokens belong to the
 * first, its special ones included. *cut: whether there were too many pieces for one sequence.
 * *at_fault: on failure, 1 if it is due to the second text. Windows come one after the other, all
 * but the last of them max_length long; each has its special tokens, and the stride must leave room
 * for a piece. */
bs_status bs_sequence_encode(const bs_tokenizer *tok, bs_scratch *scratch, const bs_text *first,
                             const bs_text *second, const bs_batch_options *options, bs_ids *ids,
                             int64_t *n_first, bool *cut, int *at_fault, bs_error *e);

/* Many texts at once. */
typedef struct bs_batch bs_batch;

/* Encodes the texts, which must not change meanwhile, or pairs if `seconds` is not NULL. On failure
 * e->item is the first text at fault, n_texts being added for a second one, and *out is NULL. */
bs_status bs_batch_encode(const bs_tokenizer *tok, const bs_text *texts, const bs_text *seconds,
                          int64_t n_texts, const bs_batch_options *options, bs_batch **out,
                          bs_error *e);
int64_t bs_batch_total(const bs_batch *batch);
/* Sequences: texts or pairs, or windows of them, in order. */
int64_t bs_batch_sequences(const bs_batch *batch);
/* ids[total], offsets[sequences + 1], cut[n_texts], n_first[n_texts] or NULL, spans[total] or NULL,
 * and windows[n_texts + 1], the first sequence of each text, or NULL. */
void bs_batch_copy(const bs_batch *batch, int32_t *ids, int64_t *offsets, uint8_t *cut,
                   int64_t *n_first, bs_span *spans, int64_t *windows);
void bs_batch_free(bs_batch *batch);

#endif
