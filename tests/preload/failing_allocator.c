/* Loaded before the C library: lets a chosen allocation of the engine fail, and counts those that
 * live. Only calls that come from the engine's own code count. For glibc. */
#define _GNU_SOURCE
#include <errno.h>
#include <link.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

extern void *__libc_malloc(size_t);
extern void *__libc_calloc(size_t, size_t);
extern void *__libc_realloc(void *, size_t);
extern void *__libc_memalign(size_t, size_t);
extern void __libc_free(void *);

static uintptr_t begin, end; /* the code of the engine */
static atomic_long made, living, failing_from, failing_to;

static int find(struct dl_phdr_info *info, size_t size, void *name)
{
    (void)size;
    if (strstr(info->dlpi_name, name) == NULL)
        return 0;
    for (int i = 0; i < info->dlpi_phnum; i++) {
        const ElfW(Phdr) *part = &info->dlpi_phdr[i];
        if (part->p_type == PT_LOAD && part->p_flags & PF_X) {
            begin = info->dlpi_addr + part->p_vaddr;
            end = begin + part->p_memsz;
        }
    }
    return 1;
}

/* Watches the shared library whose path contains `name`. Returns whether it is there. */
bool allocator_watch(const char *name)
{
    begin = end = 0;
    dl_iterate_phdr(find, (void *)name);
    return end > begin;
}

/* Starts to count anew; the allocations first, first + 1, ... last will fail, from 1. */
void allocator_fail(long first, long last)
{
    failing_from = first;
    failing_to = last;
    made = 0;
}

long allocator_made(void)
{
    return made;
}

long allocator_living(void)
{
    return living;
}

static bool watched(const void *caller)
{
    return (uintptr_t)caller >= begin && (uintptr_t)caller < end;
}

/* Whether this allocation is to fail; counts it. */
static bool fails(const void *caller)
{
    if (!watched(caller))
        return false;
    const long number = atomic_fetch_add(&made, 1) + 1;
    return number >= failing_from && number <= failing_to;
}

static void *counted(void *block, const void *caller)
{
    if (block != NULL && watched(caller))
        living++;
    return block;
}

void *malloc(size_t size)
{
    const void *caller = __builtin_return_address(0);
    if (fails(caller)) {
        errno = ENOMEM;
        return NULL;
    }
    return counted(__libc_malloc(size), caller);
}

void *calloc(size_t count, size_t size)
{
    const void *caller = __builtin_return_address(0);
    if (fails(caller)) {
        errno = ENOMEM;
        return NULL;
    }
    return counted(__libc_calloc(count, size), caller);
}

void *realloc(void *block, size_t size)
{
    const void *caller = __builtin_return_address(0);
    if (fails(caller)) {
        errno = ENOMEM;
        return NULL;
    }
    void *moved = __libc_realloc(block, size);
    return block == NULL ? counted(moved, caller) : moved;
}

int posix_memalign(void **out, size_t alignment, size_t size)
{
    const void *caller = __builtin_return_address(0);
    if (fails(caller))
        return ENOMEM;
    void *block = counted(__libc_memalign(alignment, size), caller);
    if (block == NULL)
        return ENOMEM;
    *out = block;
    return 0;
}

void free(void *block)
{
    if (block != NULL && watched(__builtin_return_address(0)))
        living--;
    __libc_free(block);
}
