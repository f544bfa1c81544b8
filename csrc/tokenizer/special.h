/* Finds added tokens, such as [SEP], in text: the leftmost first, and of those that begin at the
 * same place the longest. */
#ifndef BS_TOKENIZER_SPECIAL_H
#define BS_TOKENIZER_SPECIAL_H

#include <stdbool.h>

#include "tokenizer/text.h"
#include "core/status.h"

typedef struct {
    bs_text content; /* UTF-8 */
    int32_t id;
    bool single_word; /* matches only if no letter is next to it */
    bool normalized;  /* matched in the text after normalisation */
    bool special;     /* may be treated as plain text */
    bool lstrip, rstrip; /* takes the white space before, and after, it */
} bs_added_token;

typedef struct {
    uint32_t code;
    int32_t parent;
    int32_t token; /* the token that ends here, or -1 */
} bs_special_node;

typedef struct {
    bs_special_node *nodes; /* a trie of characters; 0 is the root */
    int32_t *slots;         /* nodes by a hash of parent and code; 0: free */
    uint32_t slot_mask;
    bs_added_token *tokens; /* only id and flags are kept */
    int n_nodes, n_tokens;
    uint64_t first[4];  /* low bytes of the tokens' first characters */
    uint64_t lead[4];   /* first bytes of these in UTF-8 */
    int only_first;     /* their first character if all share an ASCII one, or -1 */
} bs_special;

typedef struct {
    int64_t start, stop; /* units of the text */
    int32_t id;
    bool lstrip, rstrip;
} bs_special_match;

bs_status bs_special_init(bs_special *special, const bs_added_token *tokens, int n_tokens,
                          bs_error *e);
void bs_special_clear(bs_special *special);

/* Finds the next match that begins in [from, to). For a token that must be a word by itself, the
 * text begins at `start`. With `skip_special`, special tokens count as text but, as in the library,
 * no other token is found inside them: the search continues after the token. It does so too where a
 * match is not a word by itself. *resume: where to resume the search if nothing was found. */
bool bs_special_next(const bs_special *special, const bs_text *text, int64_t start, int64_t from,
                     int64_t to, bool skip_special, bs_special_match *match, int64_t *resume);

/* Extends a match over the white space that belongs to it, to the left no further than `least`, the
 * end of the match before. *spaces, initially 0, is the end of the white space passed for earlier
 * matches, so that tokens of white space do not take quadratic time. */
void bs_special_widen(bs_special_match *match, const bs_text *text, int64_t least,
                      int64_t *spaces);

#endif
