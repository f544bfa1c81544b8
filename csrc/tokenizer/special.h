/* Added tokens, such as [SEP], found in text: the leftmost first, and of those that begin there
 * the longest. */
#ifndef BS_TOKENIZER_SPECIAL_H
#define BS_TOKENIZER_SPECIAL_H

#include <stdbool.h>

#include "tokenizer/text.h"
#include "core/status.h"

typedef struct {
    bs_text content; /* UTF-8 */
    int32_t id;
    bool single_word; /* only where no letter stands on either side */
    bool normalized;  /* sought in the text after normalisation */
    bool special;     /* may be taken as plain text */
    bool lstrip, rstrip; /* white space before it and after it belongs to it */
} bs_added_token;

typedef struct {
    uint32_t code;
    int32_t child, sibling; /* node, or 0 */
    int32_t token;          /* that ends here, or -1 */
} bs_special_node;

typedef struct {
    bs_special_node *nodes; /* a trie of characters; 0 is the root */
    bs_added_token *tokens; /* only id and flags are kept */
    int n_nodes, n_tokens;
    uint64_t first[4];  /* low bytes of the first characters */
    uint64_t lead[4];   /* first bytes of their UTF-8 */
    int only_first;     /* the one first character if there is but one, and it is ASCII; or -1 */
} bs_special;

typedef struct {
    int64_t start, stop; /* units of the text */
    int32_t id;
    bool lstrip, rstrip;
} bs_special_match;

bs_status bs_special_init(bs_special *special, const bs_added_token *tokens, int n_tokens,
                          bs_error *e);
void bs_special_clear(bs_special *special);

/* Finds the next match that begins in [from, to). `start` is where the text begins for a token
 * that wants to be a word. With `skip_special`, special tokens count as text, but as the library
 * has it nothing else is found inside one either: in that case, and where a match is not a word
 * by itself, the search goes on behind it. *resume: from where to search when nothing was found. */
bool bs_special_next(const bs_special *special, const bs_text *text, int64_t start, int64_t from,
                     int64_t to, bool skip_special, bs_special_match *match, int64_t *resume);

/* Widens a match over the white space that belongs to it, to the left no further than `least`,
 * which is where the one before ended. *spaces, at first 0, is where white space ends that was gone
 * over for the matches before: tokens that are white space themselves do not make it slow. */
void bs_special_widen(bs_special_match *match, const bs_text *text, int64_t least,
                      int64_t *spaces);

#endif
