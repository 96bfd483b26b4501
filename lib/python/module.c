// SPDX-License-Identifier: MIT
/* The extension module dsm._dsm; the package around it is in dsm/. */
#include "lib/python/channel.h"
#include "lib/python/map.h"
#include "lib/python/module.h"
#include "lib/python/ring.h"

PyMODINIT_FUNC PyInit__dsm(void);

static int setup(PyObject *module)
{
	static int (*const steps[])(PyObject * module) = {
		error_setup,   buffer_setup,	 cluster_setup,	  region_setup, lock_setup,
		barrier_setup, segment_setup,	 directory_setup, map_setup,	ring_setup,
		message_setup, connection_setup, channel_setup,	  heap_setup,
	};

	for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
		if (steps[i](module))
			return -1;
	}
	return PyModule_AddStringConstant(module, "__version__", DSM_VERSION);
}

PyMODINIT_FUNC PyInit__dsm(void)
{
	/* One interpreter: its types are kept in variables. */
	static struct PyModuleDef definition = {
		PyModuleDef_HEAD_INIT,
		.m_name = "dsm._dsm",
		.m_doc = "libdsm, as the package dsm uses it.",
		.m_size = -1,
	};
	PyObject *module = PyModule_Create(&definition);

	if (module && setup(module))
		Py_CLEAR(module);
	return module;
}
