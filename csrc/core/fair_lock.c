#include "core/fair_lock.h"

#include <string.h>
#include <time.h>

void bs_fair_lock_init(bs_fair_lock *lock)
{
    memset(lock, 0, sizeof *lock);
    pthread_mutex_init(&lock->mutex, NULL);
    pthread_cond_init(&lock->changed, NULL);
}

void bs_fair_lock_destroy(bs_fair_lock *lock)
{
    pthread_cond_destroy(&lock->changed);
    pthread_mutex_destroy(&lock->mutex);
}

/* Gives the lock to all readers that wait. */
static void let_readers_in(bs_fair_lock *lock)
{
    lock->readers += lock->waiting_readers;
    lock->waiting_readers = 0;
    lock->turn++;
}

/* Whether the one that waits holds the lock now. */
static bool taken(bs_fair_lock *lock, const bs_fair_wait *wait)
{
    if (!wait->write)
        return lock->turn != wait->turn; /* let_readers_in has counted it */
    if (lock->writer || lock->readers > 0)
        return false;
    lock->waiting_writers--;
    lock->writer = true;
    return true;
}

bool bs_fair_lock_begin(bs_fair_lock *lock, bool write, bs_fair_wait *wait)
{
    bool held;
    pthread_mutex_lock(&lock->mutex);
    *wait = (bs_fair_wait){write, lock->turn};
    if (write) {
        lock->waiting_writers++;
        held = taken(lock, wait);
    } else {
        held = !lock->writer && lock->waiting_writers == 0;
        *(held ? &lock->readers : &lock->waiting_readers) += 1;
    }
    pthread_mutex_unlock(&lock->mutex);
    return held;
}

bool bs_fair_lock_wait(bs_fair_lock *lock, bs_fair_wait *wait, int milliseconds)
{
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += milliseconds / 1000;
    until.tv_nsec += milliseconds % 1000 * 1000000L;
    if (until.tv_nsec >= 1000000000L) {
        until.tv_sec++;
        until.tv_nsec -= 1000000000L;
    }
    pthread_mutex_lock(&lock->mutex);
    bool held;
    int status = 0;
    while (!(held = taken(lock, wait)) && status == 0)
        status = pthread_cond_timedwait(&lock->changed, &lock->mutex, &until);
    pthread_mutex_unlock(&lock->mutex);
    return held;
}

/* The lock is free or has changed hands: the next in turn look at it. */
static void pass_on(bs_fair_lock *lock)
{
    if (!lock->writer && lock->waiting_writers == 0)
        let_readers_in(lock);
    pthread_cond_broadcast(&lock->changed);
}

void bs_fair_lock_give_up(bs_fair_lock *lock, bs_fair_wait *wait)
{
    pthread_mutex_lock(&lock->mutex);
    if (wait->write)
        lock->waiting_writers--;
    else if (lock->turn != wait->turn)
        lock->readers--;
    else
        lock->waiting_readers--;
    pass_on(lock);
    pthread_mutex_unlock(&lock->mutex);
}

void bs_fair_lock_release(bs_fair_lock *lock, bool write)
{
    pthread_mutex_lock(&lock->mutex);
    if (write) {
        lock->writer = false;
        let_readers_in(lock);
    } else {
        lock->readers--;
    }
    pass_on(lock);
    pthread_mutex_unlock(&lock->mutex);
}
