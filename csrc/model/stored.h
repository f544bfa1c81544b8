/* Stored rows: the output of the frozen layers, computed once and read by later passes.
 *
 * Without dropout, frozen layers compute the same rows of a text every time. A pass over a batch
 * with stored rows starts at the first trained layer and does not read the ids. */
#ifndef BS_MODEL_STORED_H
#define BS_MODEL_STORED_H

#include "model/pass_state.h"

/* Checks that layers are frozen, that no dropout acts in them, and that the rows of every sequence
 * are within the stored rows. The message names the sequence at fault. */
bs_status bs_stored_check(const bs_batch *b, const bs_config *c, const bs_pass_options *options,
                          bs_error *e);

/* Copies the stored rows of the batch to the input of the first computed layer or of the head. */
void bs_stored_read(bs_pass *p);

#endif
