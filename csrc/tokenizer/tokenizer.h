/* The tokenizers, WordPiece and byte-level BPE: texts -> token ids. Immutable, so that any number
 * of threads can share one. */
#ifndef BS_TOKENIZER_TOKENIZER_H
#define BS_TOKENIZER_TOKENIZER_H

#include "tokenizer/bpe.h"
#include "tokenizer/bytelevel.h"
#include "tokenizer/charmap.h"
#include "tokenizer/ids.h"
#include "tokenizer/normalize.h"
#include "tokenizer/special.h"
#include "tokenizer/vocab.h"
#include "tokenizer/wordpiece.h"

#define BS_MAX_WORD_CHARS 1000000

typedef struct {
    bs_charmap_options normalizer;
    bs_text prefix;         /* marks a continuation piece, UTF-8 */
    int64_t max_word_chars; /* longer words are unknown */
    int32_t unk_id, cls_id, sep_id;
    int pair_separators;    /* between the texts of a pair */
    bool trim_offsets;      /* the white space around a token is not part of its span */
} bs_tokenizer_options;

typedef struct {
    int32_t cls_id, sep_id;
    int pair_separators;   /* number of [SEP] between two texts */
    bool add_prefix_space; /* before a text, or what follows an added token, unless it has one */
    bool trim_offsets;     /* the space before a word is not part of its token's span */
} bs_bpe_options;

typedef struct {
    bs_tokenizer_options options; /* except the prefix, which is borrowed */
    bool byte_level;              /* byte-level BPE; only the next three and `raw` are used, and
                                     of the options those that both kinds have */
    bs_bpe_options bpe_options;
    bs_bpe bpe;
    bs_classes classes;
    int64_t prefix_length;
    bool empty_ends; /* of WordPiece: a token begins or ends with what looks like white space */
    bs_vocab vocab;
    bs_wordpiece wordpiece;
    bs_charmap charmap;
    bs_normalizer normalizer;
    bs_special raw;        /* added tokens matched in the raw text */
    bs_special normalized; /* and those matched after normalisation; rarely any */
    bs_charmap plain_map;  /* for the text between those: only splits it */
    bs_normalizer plain;
} bs_tokenizer;

bs_status bs_tokenizer_init(bs_tokenizer *tok, const bs_text *vocab, int64_t n_vocab,
                            const bs_tokenizer_options *options, const bs_added_token *added,
                            int n_added, bs_error *e);

/* The same for byte-level BPE; see bs_bpe_init. */
bs_status bs_tokenizer_init_bpe(bs_tokenizer *tok, const bs_text *tokens, int64_t n_tokens,
                                const bs_text *merges, int64_t n_merges,
                                const bs_bpe_options *options, const bs_added_token *added,
                                int n_added, bs_error *e);
void bs_tokenizer_clear(bs_tokenizer *tok);

/* Whether a character is white space, or stands for a space in the alphabet of byte-level tokens:
 * what trim_offsets leaves out, also of WordPiece. */
bool bs_looks_empty(uint32_t code);

/* A cache of words that are not in the vocabulary as a whole: they recur, as names do. */
#define BS_CACHE_WORDS 4096
#define BS_CACHE_IDS 10
typedef struct {
    uint64_t low, high;
    uint32_t length; /* 0: free */
    int32_t count;
    int32_t ids[BS_CACHE_IDS];
} bs_cached_word;

/* Scratch of one thread; zero it before the first use. */
typedef struct {
    bs_cached_word *cache; /* one slot per hash; allocated once some words were split */
    int64_t n_split;
    bs_normbuf norm;  /* a normalised stretch of text */
    bs_normbuf whole; /* the normalised text, if added tokens are matched in it */
    uint32_t *starts, *ends;
    uint32_t *pieces; /* first piece of each word; only if spans are wanted */
    int64_t cap_words;
    bs_bytes bytes; /* a stretch of text, for byte-level BPE */
    bs_bpe_scratch merging;
} bs_scratch;

void bs_scratch_free(bs_scratch *scratch);

/* Which pieces of a text are wanted: the first `head` and the last `tail`. Without a tail, the text
 * is read only far enough to know whether there are more, unless `all` are to be counted. */
typedef struct {
    int64_t head, tail;
    bool all;
} bs_wanted;

/* Appends the wanted pieces of a text, without [CLS] and [SEP], and their spans if ids->track,
 * which must not change during the life of the scratch. *count is the number of pieces or, if
 * reading stopped early, some number greater than wanted->head. With `plain_specials`, special
 * tokens are plain text. On failure `e` says what is wrong with the text, and ids->n is
 * undefined. */
bs_status bs_text_encode(const bs_tokenizer *tok, bs_scratch *scratch, const bs_text *text,
                         const bs_wanted *wanted, bool plain_specials, bs_ids *ids,
                         int64_t *count, bs_error *e);

/* Stores the normalised text, as the library would return it, in scratch->whole. */
bs_status bs_text_normalize(const bs_tokenizer *tok, bs_scratch *scratch, const bs_text *text,
                            bs_error *e);

/* How a text or a pair with more than `max_length` tokens is cut. */
typedef enum {
    BS_CUT_LONGEST, /* the longer text of a pair until both have the same length, then both */
    BS_CUT_FIRST,
    BS_CUT_SECOND
} bs_cut_which;

typedef enum {
    BS_KEEP_HEAD,
    BS_KEEP_TAIL,
    BS_KEEP_ENDS,   /* a quarter, rounded up, from the start and the rest from the end */
    BS_KEEP_WINDOWS /* everything, in several sequences; not for pairs */
} bs_cut_form;

typedef struct {
    int64_t max_length; /* of a text or a pair, with special tokens; 0: unlimited */
    bs_cut_which which;
    bs_cut_form form;
    int64_t stride;      /* pieces that a window shares with the next one */
    bool add_special;    /* [CLS] first [SEP] second [SEP] */
    bool plain_specials; /* see bs_text_encode */
    bool spans;          /* also return the characters of each token */
    int n_threads;
} bs_encode_options;

/* Checks the options for single texts, or for pairs. All below expect options that passed. */
bs_status bs_encode_options_check(const bs_tokenizer *tok, const bs_encode_options *options,
                                  bool pairs, bs_error *e);

/* Appends one text, or a pair if `second` is not NULL. *n_first: the number of tokens of the first
 * text, its special tokens included. *cut: whether there were too many pieces for one sequence.
 * *at_fault: 1 if a failure is due to the second text. Windows follow each other, all but the last
 * max_length long, each with its special tokens; the stride must leave room for a piece. */
bs_status bs_sequence_encode(const bs_tokenizer *tok, bs_scratch *scratch, const bs_text *first,
                             const bs_text *second, const bs_encode_options *options, bs_ids *ids,
                             int64_t *n_first, bool *cut, int *at_fault, bs_error *e);

/* The encodings of many texts. */
typedef struct bs_encodings bs_encodings;

/* Encodes the texts, or pairs if `seconds` is not NULL. The texts must not change during the call.
 * On failure *out is NULL and e->item is the index of the first text at fault, plus n_texts for a
 * second text. */
bs_status bs_encodings_make(const bs_tokenizer *tok, const bs_text *texts, const bs_text *seconds,
                            int64_t n_texts, const bs_encode_options *options, bs_encodings **out,
                            bs_error *e);
int64_t bs_encodings_total(const bs_encodings *batch);
/* The number of sequences: texts, pairs or windows. */
int64_t bs_encodings_sequences(const bs_encodings *batch);
/* Writes ids[total], offsets[sequences + 1], cut[n_texts] and, unless NULL, n_first[n_texts],
 * spans[total] and windows[n_texts + 1], the first sequence of each text. */
void bs_encodings_copy(const bs_encodings *batch, int32_t *ids, int64_t *offsets, uint8_t *cut,
                       int64_t *n_first, bs_span *spans, int64_t *windows);
void bs_encodings_free(bs_encodings *batch);

#endif
