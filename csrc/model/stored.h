/* Stored rows: the output of frozen layers, computed once, from which later passes begin.
 *
 * What the frozen part of a model makes of a text is always the same where no dropout acts in it.
 * A batch with stored rows begins with the first trained layer; its ids are not looked at. */
#ifndef BS_MODEL_STORED_H
#define BS_MODEL_STORED_H

#include "model/pass.h"

/* Something is frozen, no dropout acts in it, and every sequence of the batch lies within its
 * stored rows; names the sequence at fault. */
bs_status bs_stored_check(const bs_batch *b, const bs_config *c, const bs_pass_options *options,
                          bs_error *e);

/* Copies the rows of the pass's sequences to where its first layer, or its head, reads. */
void bs_stored_read(bs_pass *p);

#endif
