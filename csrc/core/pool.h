/* The thread pool: one for the process, made when first used, remade after fork. */
#ifndef BS_CORE_POOL_H
#define BS_CORE_POOL_H

#include <stdint.h>

#include "core/status.h"

#define BS_MAX_THREADS 256

/* One unit of work. `worker` is in [0, n_threads) and is not shared by two
 * tasks that run at the same time. A task cannot fail: it records errors in `arg`. */
typedef void (*bs_task_fn)(void *arg, int64_t task, int worker);

/* Runs fn(arg, task, worker) for every task in [0, n_tasks), on at most
 * n_threads threads, the caller's among them, and returns when all are done.
 *
 * Tasks are claimed one after the other, so nothing may depend on who runs
 * which. Called from within a task, while another caller has the pool, or with
 * n_threads <= 1, everything runs in the caller as worker 0. If threads cannot be
 * started the call makes do with those that there are. */
void bs_pool_run(int n_threads, int64_t n_tasks, bs_task_fn fn, void *arg);

/* Counts forks of this process: a lock taken under another generation is void. */
uint64_t bs_fork_generation(void);

/* Around what a fork may not cut in two: a short call into a library whose locks the child would
 * find locked, or changes that it is to see together. A fork waits until no thread is between the
 * two, and they wait for a fork. Not nested. */
void bs_fork_hold(void);
void bs_fork_release(void);

/* Installs the fork handlers. Called once when the module is loaded. */
bs_status bs_pool_init(bs_error *e);

#endif
