#include "python/py_runtime.h"

#include "core/cpu.h"
#include "core/isa.h"
#include "kernels/blas.h"
#include "kernels/kernels.h"
#include "tokenizer/scan.h"

/* The names whose bits are set. */
static PyObject *names_of(unsigned bits, const char *const *names, int count)
{
    PyObject *list = PyList_New(0);
    for (int i = 0; list != NULL && i < count; i++)
        if (bits & 1u << i && bs_py_append(list, names[i]) < 0)
            Py_CLEAR(list);
    return list;
}

static PyObject *activations(PyObject *module, PyObject *unused)
{
    (void)module;
    (void)unused;
    return names_of(~0u, bs_activation_names, BS_ACTIVATION_COUNT);
}

static PyObject *isa_list(PyObject *module, PyObject *unused)
{
    (void)module;
    (void)unused;
    PyObject *names = PyList_New(0);
    for (int i = 0; names != NULL && i < BS_ISA_COUNT; i++)
        if (bs_isa_available((bs_isa)i) && bs_py_append(names, bs_isa_rows[i].name) < 0)
            Py_CLEAR(names);
    return names;
}

static PyObject *isa_row(bs_isa isa)
{
    const bs_isa_row *row = &bs_isa_rows[isa];
    return Py_BuildValue(
        "{sssssOsNsNss}", "name", row->name, "architecture", row->architecture, "available",
        bs_isa_available(isa) ? Py_True : Py_False, "features",
        names_of(row->features, bs_cpu_feature_names, BS_CPU_FEATURE_COUNT), "capabilities",
        names_of(row->capabilities, bs_capability_names, BS_CAPABILITY_COUNT), "scanner",
        bs_isa_rows[bs_scan_isa(isa)].name);
}

static PyObject *isa_table(PyObject *module, PyObject *unused)
{
    (void)module;
    (void)unused;
    PyObject *rows = PyList_New(0);
    for (int i = 0; rows != NULL && i < BS_ISA_COUNT; i++) {
        PyObject *row = isa_row((bs_isa)i);
        if (row == NULL || PyList_Append(rows, row) < 0)
            Py_CLEAR(rows);
        Py_XDECREF(row);
    }
    return rows;
}

/* The table in use; NULL with an exception set. */
static const bs_kernels *table_in_use(void)
{
    bs_error e = BS_ERROR_INIT;
    const bs_kernels *table = bs_kernels_get(&e);
    if (table == NULL)
        bs_raise(&e);
    return table;
}

static PyObject *isa(PyObject *module, PyObject *unused)
{
    const bs_kernels *table = table_in_use();
    (void)module;
    (void)unused;
    return table != NULL ? PyUnicode_FromString(bs_isa_rows[table->isa].name) : NULL;
}

static PyObject *precisions(PyObject *module, PyObject *unused)
{
    const bs_kernels *table = table_in_use();
    (void)module;
    (void)unused;
    if (table == NULL)
        return NULL;
    unsigned can = 0;
    for (int i = 0; i < BS_PRECISION_COUNT; i++)
        can |= bs_kernels_can(table, (bs_precision)i) ? 1u << i : 0u;
    return names_of(can, bs_precision_names, BS_PRECISION_COUNT);
}

static PyObject *preferred_precision(PyObject *module, PyObject *unused)
{
    const bs_kernels *table = table_in_use();
    (void)module;
    (void)unused;
    if (table == NULL)
        return NULL;
    return PyUnicode_FromString(
        bs_precision_names[bs_kernels_prefer_bf16(table) ? BS_BFLOAT16 : BS_FLOAT32]);
}

static PyObject *blas_info(PyObject *module, PyObject *unused)
{
    (void)module;
    (void)unused;
    return PyUnicode_FromFormat("%s (%s kernels)", BS_BLAS(openblas_get_config)(),
                                BS_BLAS(openblas_get_corename)());
}

static PyMethodDef functions[] = {
    {"isa_list", isa_list, METH_NOARGS,
     "isa_list()\n--\n\nReturn the instruction sets that this machine can run, the best last."},
    {"isa_table", isa_table, METH_NOARGS,
     "isa_table()\n--\n\n"
     "Return a row for each instruction set, the best last.\n\n"
     "A row holds its name and architecture, whether this machine can run it, the processor\n"
     "features that it needs besides those of the row that it is based on, the capabilities of\n"
     "its kernels, and the instruction set whose scanner the tokenizer uses with it."},
    {"activations", activations, METH_NOARGS,
     "activations()\n--\n\n"
     "Return the names of the activations in a configuration. kernel_call numbers them in this\n"
     "order."},
    {"isa", isa, METH_NOARGS, "isa()\n--\n\nReturn the instruction set in use."},
    {"precisions", precisions, METH_NOARGS,
     "precisions()\n--\n\nReturn the precisions that the kernels in use can compute in."},
    {"preferred_precision", preferred_precision, METH_NOARGS,
     "preferred_precision()\n--\n\n"
     "Return float32 or bfloat16, whichever is faster with the kernels in use."},
    {"blas_info", blas_info, METH_NOARGS,
     "blas_info()\n--\n\nReturn the version, the build options and the kernels of the BLAS."},
    {NULL, NULL, 0, NULL},
};

int bs_py_add_runtime(PyObject *module)
{
    /* Our own threads call our copy of the BLAS, so each call must use one thread. */
    BS_BLAS(openblas_set_num_threads)(1);
    return PyModule_AddFunctions(module, functions);
}
