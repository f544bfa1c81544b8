#include "python/py_common.h"

int bs_raise(const bs_error *e)
{
    PyObject *kind = PyExc_RuntimeError;
    switch (e->status) {
    case BS_ERR_MEMORY:
        kind = PyExc_MemoryError;
        break;
    case BS_ERR_VALUE:
        kind = PyExc_ValueError;
        break;
    case BS_ERR_TYPE:
        kind = PyExc_TypeError;
        break;
    case BS_ERR_INDEX:
        kind = PyExc_IndexError;
        break;
    case BS_ERR_NONFINITE:
        kind = PyExc_FloatingPointError;
        break;
    default:
        break;
    }
    PyErr_SetString(kind, e->text);
    return -1;
}

int bs_py_add_type(PyObject *module, PyType_Spec *spec, PyObject **slot)
{
    PyObject *type = PyType_FromModuleAndSpec(module, spec, NULL);
    if (type == NULL)
        return -1;
    *slot = type;
    return PyModule_AddType(module, (PyTypeObject *)type);
}

PyObject *bs_py_one_of(const char *const *names, int count)
{
    PyObject *text = PyUnicode_FromFormat("'%s'", names[0]);
    for (int i = 1; text != NULL && i < count; i++)
        Py_SETREF(text, PyUnicode_FromFormat("%U%s'%s'", text, i + 1 < count ? ", " : " or ",
                                             names[i]));
    return text;
}

int bs_py_append(PyObject *list, const char *text)
{
    PyObject *name = PyUnicode_FromString(text);
    const int status = name != NULL ? PyList_Append(list, name) : -1;
    Py_XDECREF(name);
    return status;
}
