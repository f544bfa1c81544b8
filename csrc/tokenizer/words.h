/* Words of normalised text -> ids. */
#ifndef BS_TOKENIZER_WORDS_H
#define BS_TOKENIZER_WORDS_H

#include "tokenizer/tokenizer.h"

/* Appends the pieces of the words in scratch->norm and empties it, except for a last word that may
 * continue if this is not the `last` stretch. Stops soon after `enough` ids. */
bs_status bs_words_encode(const bs_tokenizer *tok, bs_scratch *scratch, bool last, int64_t enough,
                          bs_ids *ids, bs_error *e);

#endif
