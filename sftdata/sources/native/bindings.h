/* What the bindings share, and those that stand in files of their own. */
#ifndef SFTDATA_BINDINGS_H
#define SFTDATA_BINDINGS_H

#include "columns.h"

bool is_long_enough(Py_buffer *array, int64_t count, const char *name);

/* Tell whether records rise and lie inside of `size` bytes. */
bool lie_inside(const int64_t *starts, const int64_t *ends, int64_t count, int64_t size);

/* Open columns of the kinds, TEXT where NULL; NULL and an exception where there is no memory. */
Column *open_columns(Py_ssize_t count, const Kind *kinds, int64_t room, int64_t bytes);

/* Free columns, with what was not handed over of their memory. */
void close_columns(Column *columns, Py_ssize_t count);

PyObject *find_lines(PyObject *module, PyObject *arguments);
PyObject *parse_json(PyObject *module, PyObject *arguments);

#endif
