/* The extension module bertsent._core. */
#define BS_PY_DEFINES_ARRAY_API
#include "python/py_common.h"

#include "core/pool.h"
#include "python/py_arrow.h"
#include "python/py_config.h"
#include "python/py_model.h"
#include "python/py_runtime.h"
#include "python/py_session.h"
#include "python/py_tokenizer.h"
#include "python/testing/hooks.h"

static int module_exec(PyObject *module)
{
    bs_error e = BS_ERROR_INIT;
    import_array1(-1);
    if (bs_pool_init(&e) != BS_OK)
        return bs_raise(&e);
    if (bs_py_add_runtime(module) < 0 || bs_py_add_kernel_hooks(module) < 0 ||
        bs_py_add_config(module) < 0 || bs_py_add_model(module) < 0 ||
        bs_py_add_session(module) < 0 || bs_py_add_arrow(module) < 0 ||
        bs_py_add_tokenizer(module) < 0)
        return -1;
    return 0;
}

static int module_traverse(PyObject *module, visitproc visit, void *arg)
{
    bs_module_state *state = PyModule_GetState(module);
    Py_VISIT(state->arrow_type);
    Py_VISIT(state->tokenizer_type);
    Py_VISIT(state->byte_level_type);
    Py_VISIT(state->model_type);
    Py_VISIT(state->session_type);
    return 0;
}

static int module_clear(PyObject *module)
{
    bs_module_state *state = PyModule_GetState(module);
    Py_CLEAR(state->arrow_type);
    Py_CLEAR(state->tokenizer_type);
    Py_CLEAR(state->byte_level_type);
    Py_CLEAR(state->model_type);
    Py_CLEAR(state->session_type);
    return 0;
}

static PyModuleDef_Slot module_slots[] = {
    {Py_mod_exec, module_exec},
#if PY_VERSION_HEX >= 0x030c0000
    {Py_mod_multiple_interpreters, Py_MOD_MULTIPLE_INTERPRETERS_NOT_SUPPORTED},
#endif
#if PY_VERSION_HEX >= 0x030d0000
    /* Fields of objects, such as `busy` of a session, are guarded by the GIL. */
    {Py_mod_gil, Py_MOD_GIL_USED},
#endif
    {0, NULL},
};

static struct PyModuleDef module_def = {
    PyModuleDef_HEAD_INIT,
    .m_name = "bertsent._core",
    .m_doc = "The engine of bertsent. Private; use the classes of the package.",
    .m_size = sizeof(bs_module_state),
    .m_slots = module_slots,
    .m_traverse = module_traverse,
    .m_clear = module_clear,
};

PyMODINIT_FUNC PyInit__core(void)
{
    return PyModuleDef_Init(&module_def);
}
