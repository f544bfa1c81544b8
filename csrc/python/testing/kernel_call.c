/* Calls any kernel of any instruction set by name, for tests and benchmarks only. Arrays are
 * contiguous, at any alignment. */
#include "python/testing/hooks.h"

#include <string.h>

static const bs_kernel_call *const lists[] = {bs_row_calls, bs_packed_calls, bs_gemm_calls};
enum { LISTS = sizeof lists / sizeof *lists };

static PyObject *kernel_names(PyObject *module, PyObject *unused)
{
    (void)module;
    (void)unused;
    PyObject *names = PyList_New(0);
    for (int i = 0; i < LISTS; i++)
        for (const bs_kernel_call *c = lists[i]; names != NULL && c->name != NULL; c++)
            if (bs_py_append(names, c->name) < 0)
                Py_CLEAR(names);
    return names;
}

#define NAME(entry) #entry,
static const char *const entries[] = {BS_KERNELS_ENTRIES(NAME)};
#undef NAME

static bool lacks(const bs_kernels *k, const char *name)
{
#define LACKS(entry)                                                                              \
    if (strcmp(name, #entry) == 0)                                                                \
        return k->entry == NULL;
    BS_KERNELS_ENTRIES(LACKS)
#undef LACKS
    return false;
}

PyObject *bs_no_kernel(const bs_kernels *k, const char *name)
{
    PyErr_Format(PyExc_ValueError, "instruction set '%s' has no kernel '%s'",
                 bs_isa_rows[k->isa].name, name);
    return NULL;
}

static const bs_kernels *table_of(const char *isa)
{
    bs_isa found;
    if (bs_isa_find(isa, &found))
        return bs_kernels_of(found);
    PyErr_Format(PyExc_ValueError, "no instruction set '%s' on this machine", isa);
    return NULL;
}

static PyObject *kernel_entries(PyObject *module, PyObject *args)
{
    const char *isa;
    (void)module;
    if (!PyArg_ParseTuple(args, "s", &isa))
        return NULL;
    const bs_kernels *table = table_of(isa);
    PyObject *filled = table != NULL ? PyDict_New() : NULL;
    for (size_t i = 0; filled != NULL && i < sizeof entries / sizeof *entries; i++)
        if (PyDict_SetItemString(filled, entries[i],
                                 lacks(table, entries[i]) ? Py_False : Py_True) < 0)
            Py_CLEAR(filled);
    return filled;
}

static PyObject *operand_layout(PyObject *module, PyObject *args)
{
    const char *isa;
    (void)module;
    if (!PyArg_ParseTuple(args, "s", &isa))
        return NULL;
    const bs_kernels *table = table_of(isa);
    return table == NULL ? NULL
                         : Py_BuildValue("{sLsLsi}", "columns", (long long)table->columns,
                                         "int8_elements", (long long)table->int8_elements,
                                         "fp32_parts", table->parts_product != NULL ? BS_PARTS : 1);
}

static PyObject *kernel_call(PyObject *module, PyObject *args)
{
    const char *name, *isa;
    PyObject *result = NULL;
    (void)module;
    PyObject *head = PyTuple_GetSlice(args, 0, 2);
    PyObject *rest = PyTuple_GetSlice(args, 2, PyTuple_GET_SIZE(args));
    if (head == NULL || rest == NULL || !PyArg_ParseTuple(head, "ss", &name, &isa))
        goto done;
    const bs_kernels *table = table_of(isa);
    if (table == NULL)
        goto done;
    if (lacks(table, name)) {
        bs_no_kernel(table, name);
        goto done;
    }
    for (int i = 0; i < LISTS; i++)
        for (const bs_kernel_call *c = lists[i]; c->name != NULL; c++)
            if (strcmp(c->name, name) == 0) {
                result = c->call(table, rest);
                goto done;
            }
    PyErr_Format(PyExc_KeyError, "no kernel '%s'", name);
done:
    Py_XDECREF(head);
    Py_XDECREF(rest);
    return result;
}

static PyMethodDef functions[] = {
    {"kernel_names", kernel_names, METH_NOARGS,
     "kernel_names()\n--\n\nReturn the names of the kernels that kernel_call can call."},
    {"kernel_entries", kernel_entries, METH_VARARGS,
     "kernel_entries(isa, /)\n--\n\n"
     "Return the entries of the kernel table of an instruction set, and whether it fills them."},
    {"operand_layout", operand_layout, METH_VARARGS,
     "operand_layout(isa, /)\n--\n\n"
     "Return how an instruction set packs operands.\n\n"
     "columns: of a panel. int8_elements: of a group of 4 bytes. fp32_parts: bfloat16 numbers that\n"
     "a packed fp32 element is split into, or 1 if it is not split."},
    {"kernel_call", kernel_call, METH_VARARGS,
     "kernel_call(name, isa, /, *arguments)\n--\n\n"
     "Call a kernel of an instruction set with the arguments that csrc/python/testing names."},
    {NULL, NULL, 0, NULL},
};

int bs_py_add_kernel_hooks(PyObject *module)
{
    return PyModule_AddFunctions(module, functions);
}
