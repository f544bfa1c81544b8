/* Text -> words -> ids, for byte-level BPE. */
#ifndef BS_TOKENIZER_BPE_WORDS_H
#define BS_TOKENIZER_BPE_WORDS_H

#include "tokenizer/tokenizer.h"

/* Appends the pieces of the units [from, to) of a text. A word that may continue waits in
 * scratch->bytes, unless this is the `last` stretch before an added token or the end; the next call
 * then begins anew. Stops soon after `enough` ids. Fails with BS_ERR_VALUE and the position in *bad
 * if the text is invalid; otherwise *bad is -1. */
bs_status bs_bpe_encode(const bs_tokenizer *tok, bs_scratch *scratch, const bs_text *text,
                        int64_t from, int64_t to, bool last, int64_t enough, bs_ids *ids,
                        int64_t *bad, bs_error *e);

/* Takes the space at the start and at the end of each token out of its span, as the library does.
 * The spans are those of a whole sequence without special tokens, in characters. */
void bs_bpe_trim(const bs_tokenizer *tok, bs_ids *ids, int64_t first, int64_t last);

#endif
