/* The thread pool: one per process, created on first use and again after a fork. */
#ifndef BS_CORE_POOL_H
#define BS_CORE_POOL_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "core/status.h"

#define BS_MAX_THREADS 256

/* One unit of work. `worker` is in [0, n_threads); no two tasks run at the same time with the same
 * worker. A task cannot fail: it records errors in `arg`. */
typedef void (*bs_task_fn)(void *arg, int64_t task, int worker);

/* Runs fn(arg, task, worker) for every task in [0, n_tasks) on at most n_threads threads, including
 * the caller, and returns when all are done.
 *
 * Tasks are claimed one by one, so results must not depend on which worker runs which task.
 * Everything runs in the caller as worker 0 if n_threads <= 1, inside another task, or while
 * another caller has the pool. If threads cannot be started, the call uses those that exist. */
void bs_pool_run(int n_threads, int64_t n_tasks, bs_task_fn fn, void *arg);

/* Whether a call that takes long shall stop, for example because of Ctrl-C. */
typedef struct {
    bool (*stop)(void *arg); /* asked about ten times a second, in the calling thread */
    void *arg;
    /* set by bs_pool_ask */
    atomic_bool stopped;
    int64_t next; /* when to ask again */
    uint32_t cpu_state;
} bs_question;

/* From now on, asks while tasks of this thread's calls run; NULL: no longer. Once the answer is yes,
 * all remaining tasks are left out, also of further calls, so that the results of the whole operation
 * are garbage: the caller looks at `stopped` in the end. */
void bs_pool_ask(bs_question *question);

/* Counts the forks of this process. A lock taken under an earlier generation is void. */
uint64_t bs_fork_generation(void);

/* Delimit a section that a fork must not interrupt: a short call into a library whose locks the
 * child would find locked, or changes that the child must see together. A fork waits until no
 * thread is in such a section; new sections wait for the fork. Sections must not nest. */
void bs_fork_hold(void);
void bs_fork_release(void);

/* Installs the fork handlers. Called once, when the module is loaded. */
bs_status bs_pool_init(bs_error *e);

#endif
