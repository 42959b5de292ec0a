#include "bindings.h"
#include "json.h"
#include "json_lines.h"

#include <stdlib.h>

PyObject *find_lines(PyObject *module, PyObject *arguments) {
    Py_buffer data, starts, ends, lines;
    long long line;
    if (!PyArg_ParseTuple(arguments, "y*Lw*w*w*", &data, &line, &starts, &ends, &lines))
        return NULL;
    int64_t most = starts.len / (Py_ssize_t)sizeof(int64_t), count = -1;
    Breaks breaks;
    bool fits = is_long_enough(&ends, most, "ends") && is_long_enough(&lines, most, "lines");
    if (fits) {
        Py_BEGIN_ALLOW_THREADS;
        count = find_json_lines(data.buf, data.len, line, most, starts.buf, ends.buf, lines.buf, &breaks);
        Py_END_ALLOW_THREADS;
    }
    PyBuffer_Release(&data);
    PyBuffer_Release(&starts);
    PyBuffer_Release(&ends);
    PyBuffer_Release(&lines);
    if (!fits)
        return NULL;
    if (count < 0)
        Py_RETURN_NONE;
    return Py_BuildValue("LLLL", (long long)count, (long long)breaks.count, (long long)breaks.first,
                         (long long)breaks.last);
}

/* Say what a column takes by the letter of its kind; false and an exception where there is no such kind. */
static bool read_kind(char letter, Kind *kind, Wanted *wanted) {
    static const char letters[] = "sifblm";
    static const Kind kinds[] = {TEXT, INT, FLOAT, BOOL, TEXTS, CHATS};
    wanted->coerce = letter == 'c';
    const char *found = letter ? strchr(letters, wanted->coerce ? 's' : letter) : NULL;
    if (!found) {
        PyErr_Format(PyExc_ValueError, "kinds: found %d", letter);
        return false;
    }
    *kind = kinds[found - letters];
    return true;
}

/* Read an entry of a tuple, which keeps the bytes alive; no bytes where it is None. */
static bool read_name(PyObject *names, Py_ssize_t place, Name *name) {
    PyObject *item = PyTuple_GetItem(names, place);
    Py_ssize_t length = 0;
    *name = (Name){NULL, 0};
    if (item == Py_None)
        return true;
    name->text = item ? (const uint8_t *)PyUnicode_AsUTF8AndSize(item, &length) : NULL;
    name->length = length;
    return name->text;
}

/* Read what turns call their parts and their roles: (role, content, theirs, ours, theirs, ours, ...). */
static bool read_turns(PyObject *given, Turns *turns) {
    Py_ssize_t size = PyTuple_Check(given) ? PyTuple_Size(given) : 0;
    if (size < 2 || size % 2) {
        PyErr_SetString(PyExc_ValueError, "turns: expected a tuple of pairs for each column of turns");
        return false;
    }
    Role *roles = calloc((size_t)size, sizeof(Role));
    turns->roles = roles;
    turns->role_count = size / 2 - 1;
    if (!roles)
        return PyErr_NoMemory();
    if (!read_name(given, 0, &turns->role) || !read_name(given, 1, &turns->content))
        return false;
    bool fits = turns->role.text && turns->content.text;
    for (Py_ssize_t place = 0; place < turns->role_count; place++) {
        if (!read_name(given, 2 * place + 2, &roles[place].theirs) ||
            !read_name(given, 2 * place + 3, &roles[place].ours))
            return false;
        fits = fits && roles[place].theirs.text && roles[place].ours.length <= SHORT;
    }
    if (!fits)
        PyErr_SetString(PyExc_ValueError, "turns: expected names, and none of a role of ours that is longer than 12");
    return fits;
}

/* What is parsed: the buffers, and tuples, which keep the names alive. */
typedef struct {
    Py_buffer data, starts, ends, odd;
    PyObject *names, *turns;
    const char *letters;
    Py_ssize_t count; /* of columns */
} Task;

static bool read_wanted(const Task *task, Kind *kinds, Wanted *wanted) {
    for (Py_ssize_t place = 0; place < task->count; place++) {
        if (!read_kind(task->letters[place], &kinds[place], &wanted[place]) ||
            !read_name(task->names, place, &wanted[place].name))
            return false;
        if (!wanted[place].name.text) {
            PyErr_SetString(PyExc_TypeError, "names: found None");
            return false;
        }
        if (kinds[place] == CHATS && !read_turns(PyTuple_GetItem(task->turns, place), &wanted[place].turns))
            return false;
    }
    return true;
}

static PyObject *run_parser(Task *task, int64_t records, Kind *kinds, Wanted *wanted) {
    if (!read_wanted(task, kinds, wanted))
        return NULL;
    Column *columns = open_columns(task->count, kinds, records, task->data.len);
    if (!columns)
        return NULL;
    int64_t rows;
    Py_BEGIN_ALLOW_THREADS;
    rows = parse_json_records(task->data.buf, task->data.len, task->starts.buf, task->ends.buf, records, wanted,
                              columns, (int32_t)task->count, task->odd.buf);
    Py_END_ALLOW_THREADS;
    PyObject *result = export_columns(columns, task->count, rows);
    close_columns(columns, task->count);
    return result;
}

static PyObject *check_task(Task *task, Py_ssize_t kinds_given) {
    int64_t records = task->starts.len / (Py_ssize_t)sizeof(int64_t);
    if (!is_long_enough(&task->ends, records, "ends"))
        return NULL;
    if (task->odd.len < records || task->count != kinds_given || task->count > INT32_MAX ||
        PyTuple_Size(task->turns) != task->count ||
        !lie_inside(task->starts.buf, task->ends.buf, records, task->data.len)) {
        PyErr_SetString(PyExc_ValueError, "records must rise inside of the data, each with a byte of `odd`, and each "
                                          "name must have a kind and an entry of `turns`");
        return NULL;
    }
    if (task->data.len > INT32_MAX)
        Py_RETURN_NONE;
    Kind *kinds = calloc((size_t)task->count + 1, sizeof(Kind));
    Wanted *wanted = calloc((size_t)task->count + 1, sizeof(Wanted));
    PyObject *result = kinds && wanted ? run_parser(task, records, kinds, wanted) : PyErr_NoMemory();
    for (Py_ssize_t place = 0; wanted && place < task->count; place++)
        free((void *)wanted[place].turns.roles);
    free(kinds);
    free(wanted);
    return result;
}

PyObject *parse_json(PyObject *module, PyObject *arguments) {
    Task task;
    PyObject *names, *turns;
    Py_ssize_t kinds_given;
    if (!PyArg_ParseTuple(arguments, "y*y*y*w*Oy#O", &task.data, &task.starts, &task.ends, &task.odd, &names,
                          &task.letters, &kinds_given, &turns))
        return NULL;
    task.names = PySequence_Tuple(names);
    task.turns = task.names ? PySequence_Tuple(turns) : NULL;
    task.count = task.names ? PyTuple_Size(task.names) : 0;
    PyObject *result = task.turns ? check_task(&task, kinds_given) : NULL;
    Py_XDECREF(task.names);
    Py_XDECREF(task.turns);
    PyBuffer_Release(&task.data);
    PyBuffer_Release(&task.starts);
    PyBuffer_Release(&task.ends);
    PyBuffer_Release(&task.odd);
    return result;
}
