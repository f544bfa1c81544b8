#include "python/py_model_object.h"

#include "core/pool.h"

/* Milliseconds between two looks at signals while a call waits for the lock. */
enum { WAIT_PART = 50 };

void bs_py_model_make_lock(bs_py_model *self)
{
    bs_fair_lock_init(&self->lock);
    self->generation = bs_fork_generation();
}

static bool begin_lock(bs_py_model *self, bool write, bs_fair_wait *wait)
{
    if (self->generation != bs_fork_generation())
        bs_py_model_make_lock(self);
    return bs_fair_lock_begin(&self->lock, write, wait);
}

static bool wait_for_lock(bs_py_model *self, bs_fair_wait *wait)
{
    bool held;
    Py_BEGIN_ALLOW_THREADS
    held = bs_fair_lock_wait(&self->lock, wait, WAIT_PART);
    Py_END_ALLOW_THREADS
    return held;
}

/* Takes the lock. Returns 0, or -1 with the exception of a signal handler set. */
static int take_lock(bs_py_model *self, bool write)
{
    bs_fair_wait wait;
    bool held = begin_lock(self, write, &wait);
    while (!held) {
        held = wait_for_lock(self, &wait);
        if (!held && PyErr_CheckSignals() < 0) {
            bs_fair_lock_give_up(&self->lock, &wait);
            return -1;
        }
    }
    return 0;
}

int bs_py_read_lock(bs_py_model *self, bs_precision precision, bool backward, int n_threads)
{
    bs_error e = BS_ERROR_INIT;
    for (;;) {
        if (take_lock(self, false) < 0)
            return -1;
        if (bs_model_fresh(&self->model, precision, backward))
            return 0;
        bs_py_read_unlock(self);
        if (take_lock(self, true) < 0)
            return -1;
        Py_BEGIN_ALLOW_THREADS
        bs_model_pack(&self->model, precision, backward, n_threads, &e);
        bs_py_write_unlock(self);
        Py_END_ALLOW_THREADS
        if (e.status != BS_OK)
            return bs_raise(&e);
    }
}

int bs_py_lock_shared(bs_py_model *self)
{
    return take_lock(self, false);
}

int bs_py_write_lock(bs_py_model *self)
{
    return take_lock(self, true);
}

void bs_py_write_lock_anyway(bs_py_model *self)
{
    bs_fair_wait wait;
    bool held = begin_lock(self, true, &wait);
    while (!held)
        held = wait_for_lock(self, &wait);
}

int bs_py_pass_lock(bs_py_model *self, long long tokens, bs_pass_options *options)
{
    if (take_lock(self, true) < 0)
        return -1;
    options->tokens = tokens;
    options->clock = bs_py_start_clock(self);
    return 0;
}

void bs_py_model_trained(bs_py_model *self, const bs_error *e)
{
    self->version++;
    self->steps += e->status == BS_OK;
}

void bs_py_read_unlock(bs_py_model *self)
{
    bs_fair_lock_release(&self->lock, false);
}

void bs_py_write_unlock(bs_py_model *self)
{
    bs_fair_lock_release(&self->lock, true);
}

bs_stage_clock *bs_py_start_clock(bs_py_model *self)
{
    if (!self->timed)
        return NULL;
    bs_stage_begin(&self->clock);
    return &self->clock;
}
