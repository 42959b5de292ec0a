/* The module sftdata.sources.native._scan: what it takes and gives is said in _scan.pyi. */
#include "bindings.h"
#include "csv.h"
#include "utf8.h"

#include <stdlib.h>

#if defined(__linux__)
#include <sys/mman.h>
#endif

bool is_long_enough(Py_buffer *array, int64_t count, const char *name) {
    if (array->len >= count * (int64_t)sizeof(int64_t))
        return true;
    PyErr_Format(PyExc_ValueError, "%s: found %zd bytes, expected %lld of int64", name, array->len, (long long)count);
    return false;
}

static PyObject *find_records(PyObject *module, PyObject *arguments) {
    Py_buffer data, starts, ends, lines;
    Py_ssize_t size, most;
    Dialect dialect;
    long long width;
    int final, quoting;
    Found found;
    if (!PyArg_ParseTuple(arguments, "y*npnbpLw*w*w*", &data, &size, &final, &most, &dialect.delimiter, &quoting, &width,
                          &starts, &ends, &lines))
        return NULL;
    dialect.quoting = quoting;
    dialect.width = width;
    bool fits = is_long_enough(&starts, most, "starts") && is_long_enough(&ends, most, "ends") &&
                is_long_enough(&lines, most, "lines");
    bool right = false;
    if (fits) {
        Py_BEGIN_ALLOW_THREADS;
        size = size < 0 ? 0 : size < data.len ? size : data.len;
        right = find_csv_records(data.buf, size, final, most, dialect, starts.buf, ends.buf, lines.buf, &found);
        Py_END_ALLOW_THREADS;
    }
    PyBuffer_Release(&data);
    PyBuffer_Release(&starts);
    PyBuffer_Release(&ends);
    PyBuffer_Release(&lines);
    if (!fits)
        return NULL;
    if (!right)
        Py_RETURN_NONE;
    PyObject *plain = found.plain ? Py_True : Py_False;
    return Py_BuildValue("LLLO", (long long)found.count, (long long)found.end, (long long)found.breaks, plain);
}

bool lie_inside(const int64_t *starts, const int64_t *ends, int64_t count, int64_t size) {
    int64_t before = 0;
    for (int64_t number = 0; number < count; number++) {
        if (starts[number] < before || ends[number] < starts[number] || ends[number] > size)
            return false;
        before = ends[number];
    }
    return true;
}

/* Say for each of `width` fields in which column it goes; NULL and an exception where a place is none. */
static int32_t *read_slots(PyObject *places, Py_ssize_t columns, int64_t width) {
    int32_t *slots = malloc(((size_t)width + 1) * sizeof(int32_t));
    if (!slots)
        return (int32_t *)PyErr_NoMemory();
    for (int64_t field = 0; field < width; field++)
        slots[field] = -1;
    for (Py_ssize_t column = 0; column < columns; column++) {
        PyObject *item = PySequence_GetItem(places, column);
        long long field = item ? PyLong_AsLongLong(item) : -1;
        Py_XDECREF(item);
        if (PyErr_Occurred() || field < 0 || field >= width || slots[field] >= 0) {
            free(slots);
            if (!PyErr_Occurred())
                PyErr_Format(PyExc_ValueError, "places: found %lld, or found it twice; there are %lld fields", field,
                             (long long)width);
            return NULL;
        }
        slots[field] = (int32_t)column;
    }
    return slots;
}

static PyObject *list_ragged(const Ragged *ragged, int64_t count) {
    PyObject *list = PyList_New((Py_ssize_t)count);
    for (int64_t place = 0; list && place < count; place++) {
        PyObject *one = Py_BuildValue("LL", (long long)ragged[place].record, (long long)ragged[place].fields);
        if (!one || PyList_SetItem(list, (Py_ssize_t)place, one) < 0)
            Py_CLEAR(list);
    }
    return list;
}

Column *open_columns(Py_ssize_t count, const Kind *kinds, int64_t room, int64_t bytes) {
    Column *columns = calloc((size_t)count + 1, sizeof(Column));
    bool got = columns != NULL;
    for (Py_ssize_t place = 0; got && place < count; place++)
        got = column_open(&columns[place], kinds ? kinds[place] : TEXT, room, bytes);
    if (got)
        return columns;
    close_columns(columns, count);
    return (Column *)PyErr_NoMemory();
}

void close_columns(Column *columns, Py_ssize_t count) {
    for (Py_ssize_t place = 0; columns && place < count; place++)
        column_close(&columns[place]);
    free(columns);
}

/* What is given back: the capsules and the ragged records, or None where a record is not valid. */
static PyObject *export_cells(Column *columns, Py_ssize_t count, bool right, int64_t rows,
                              const Ragged *ragged, int64_t ragged_count) {
    if (!right)
        Py_RETURN_NONE;
    PyObject *capsules = export_columns(columns, count, rows);
    PyObject *list = capsules ? list_ragged(ragged, ragged_count) : NULL;
    PyObject *result = list ? PyTuple_Pack(2, capsules, list) : NULL;
    Py_XDECREF(capsules);
    Py_XDECREF(list);
    return result;
}

static PyObject *parse_buffers(Py_buffer *data, Py_buffer *starts, Py_buffer *ends, Dialect dialect,
                               PyObject *places) {
    int64_t records = starts->len / (Py_ssize_t)sizeof(int64_t), rows, ragged_count;
    Py_ssize_t count = PySequence_Size(places);
    if (count < 0 || !is_long_enough(ends, records, "ends"))
        return NULL;
    if (!lie_inside(starts->buf, ends->buf, records, data->len)) {
        PyErr_SetString(PyExc_ValueError, "records must rise inside of the data");
        return NULL;
    }
    if (data->len > INT32_MAX)
        Py_RETURN_NONE;
    bool right = false;
    int32_t *slots = read_slots(places, count, dialect.width);
    Column *columns = slots ? open_columns(count, NULL, records, data->len) : NULL;
    Ragged *ragged = columns ? malloc(((size_t)records + 1) * sizeof(Ragged)) : NULL;
    PyObject *result = NULL;
    if (ragged) {
        Py_BEGIN_ALLOW_THREADS;
        right = parse_csv_cells(data->buf, data->len, starts->buf, ends->buf, records, dialect, slots, columns, &rows,
                                ragged, &ragged_count);
        Py_END_ALLOW_THREADS;
        result = export_cells(columns, count, right, rows, ragged, ragged_count);
    } else if (!PyErr_Occurred()) {
        PyErr_NoMemory();
    }
    close_columns(columns, count);
    free(slots);
    free(ragged);
    return result;
}

static PyObject *parse_cells(PyObject *module, PyObject *arguments) {
    Py_buffer data, starts, ends;
    Dialect dialect;
    long long width;
    int quoting;
    PyObject *places;
    if (!PyArg_ParseTuple(arguments, "y*y*y*bpLO", &data, &starts, &ends, &dialect.delimiter, &quoting, &width,
                          &places))
        return NULL;
    dialect.quoting = quoting;
    dialect.width = width;
    PyObject *result = parse_buffers(&data, &starts, &ends, dialect, places);
    PyBuffer_Release(&data);
    PyBuffer_Release(&starts);
    PyBuffer_Release(&ends);
    return result;
}

static PyObject *tell_utf8(PyObject *module, PyObject *arguments) {
    Py_buffer data;
    bool right;
    if (!PyArg_ParseTuple(arguments, "y*", &data))
        return NULL;
    Py_BEGIN_ALLOW_THREADS;
    right = is_utf8(data.buf, (const uint8_t *)data.buf + data.len);
    Py_END_ALLOW_THREADS;
    PyBuffer_Release(&data);
    return PyBool_FromLong(right);
}

/* Ask for pages of 2 MB: each saves 511 page faults. Systems that have none, or will not, use others. */
static void use_large_pages(char *memory, Py_ssize_t size) {
#if defined(__linux__) && defined(MADV_HUGEPAGE)
    uintptr_t page = 1 << 21, start = ((uintptr_t)memory + page - 1) & ~(page - 1);
    uintptr_t end = ((uintptr_t)memory + (uintptr_t)size) & ~(page - 1);
    if (start < end)
        madvise((void *)start, end - start, MADV_HUGEPAGE);
#endif
}

static PyObject *make_buffer(PyObject *module, PyObject *arguments) {
    Py_ssize_t size;
    if (!PyArg_ParseTuple(arguments, "n", &size))
        return NULL;
    PyObject *buffer = PyByteArray_FromStringAndSize(NULL, size);
    if (buffer)
        use_large_pages(PyByteArray_AsString(buffer), size);
    return buffer;
}

static PyMethodDef methods[] = {
    {"make_buffer", make_buffer, METH_VARARGS, NULL},
    {"is_utf8", tell_utf8, METH_VARARGS, NULL},
    {"find_records", find_records, METH_VARARGS, NULL},
    {"parse_cells", parse_cells, METH_VARARGS, NULL},
    {"find_lines", find_lines, METH_VARARGS, NULL},
    {"parse_json", parse_json, METH_VARARGS, NULL},
    {NULL, NULL, 0, NULL},
};

static int fill_module(PyObject *module) {
    return PyModule_AddStringConstant(module, "SOURCES", SOURCES);
}

static PyModuleDef_Slot slots_of_module[] = {
    {Py_mod_exec, fill_module},
    {0, NULL},
};

static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT, .m_name = "_scan", .m_methods = methods, .m_slots = slots_of_module};

PyMODINIT_FUNC PyInit__scan(void) {
    return PyModuleDef_Init(&definition);
}
