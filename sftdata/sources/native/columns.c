#include "columns.h"

#include <stdlib.h>
#include <string.h>

struct ArrowSchema {
    const char *format, *name, *metadata;
    int64_t flags, n_children;
    struct ArrowSchema **children, *dictionary;
    void (*release)(struct ArrowSchema *);
    void *private_data;
};

struct ArrowArray {
    int64_t length, null_count, offset, n_buffers, n_children;
    const void **buffers;
    struct ArrowArray **children, *dictionary;
    void (*release)(struct ArrowArray *);
    void *private_data;
};

#define NULLABLE 2

static const size_t sizes[] = {
    [TEXT] = sizeof(View), [INT] = 8, [FLOAT] = 8, [BOOL] = 1, [TEXTS] = 8, [CHATS] = 8, [TURN] = 0};

static bool open_inner(Column *column, int64_t room, int64_t bytes) {
    column->inner = calloc(column->kind == TURN ? 4 : 1, sizeof(Column));
    if (!column->inner)
        return false;
    column->inner_count = column->kind == TURN ? 4 : 1;
    if (column->kind != TURN)
        return column_open(column->inner, column->kind == TEXTS ? TEXT : TURN, room, bytes);
    column->inner[2] = (Column){.kind = FLOAT, .blank = true};
    column->inner[3] = (Column){.kind = TEXT, .blank = true};
    return column_open(&column->inner[0], TEXT, room, bytes) && column_open(&column->inner[1], TEXT, room, bytes);
}

bool column_open(Column *column, Kind kind, int64_t room, int64_t bytes) {
    *column = (Column){.kind = kind, .room = room};
    if (kind == TURN)
        return open_inner(column, room, bytes);
    column->values = malloc(((size_t)room + 1) * sizes[kind]);
    column->valid = malloc((size_t)room / 8 + 1);
    column->text = kind == TEXT ? malloc((size_t)bytes + 1) : NULL;
    if (!column->values || !column->valid || (kind == TEXT && !column->text))
        return false;
    if (!is_list(kind))
        return true;
    column->offsets[0] = 0;
    return open_inner(column, room, bytes);
}

bool column_grow(Column *column) {
    int64_t room = column->room * 2 + 16;
    if (column->kind == TURN) {
        if (!column_grow(&column->inner[0]) || !column_grow(&column->inner[1]))
            return false;
        column->room = column->inner[0].room < column->inner[1].room ? column->inner[0].room : column->inner[1].room;
        return true;
    }
    void *values = realloc(column->values, ((size_t)room + 1) * sizes[column->kind]);
    column->values = values ? values : column->values;
    uint8_t *valid = realloc(column->valid, (size_t)room / 8 + 1);
    column->valid = valid ? valid : column->valid;
    column->room = values && valid ? room : column->room;
    return values && valid;
}

void column_close(Column *column) {
    for (int place = 0; place < column->inner_count; place++)
        column_close(&column->inner[place]);
    free(column->inner);
    free(column->values);
    free(column->valid);
    free(column->text);
    *column = (Column){0};
}

/* What a child holds: at most four buffers and the size of the last but one of them. */
typedef struct {
    const void *buffers[4];
    int64_t text_size;
} Held;

static void release_child(struct ArrowArray *array) {
    Held *held = array->private_data;
    for (int64_t place = 0; place < array->n_buffers; place++)
        if (held->buffers[place] != &held->text_size)
            free((void *)held->buffers[place]);
    for (int64_t place = 0; array->children && place < array->n_children; place++) {
        if (array->children[place] && array->children[place]->release)
            array->children[place]->release(array->children[place]);
        free(array->children[place]);
    }
    free(array->children);
    free(held);
    array->release = NULL;
}

static void release_struct(struct ArrowArray *array) {
    for (int64_t place = 0; place < array->n_children; place++) {
        if (array->children[place]->release)
            array->children[place]->release(array->children[place]);
        free(array->children[place]);
    }
    free(array->children);
    free((void *)array->buffers);
    array->release = NULL;
}

static void release_schema(struct ArrowSchema *schema) {
    for (int64_t place = 0; schema->children && place < schema->n_children; place++) {
        if (schema->children[place] && schema->children[place]->release)
            schema->children[place]->release(schema->children[place]);
        free(schema->children[place]);
    }
    free(schema->children);
    free(schema->private_data); /* the name */
    schema->release = NULL;
}

static int64_t count_nulls(const uint8_t *valid, int64_t rows) {
    int64_t good = 0;
    for (int64_t byte = 0; byte < rows / 8; byte++)
        good += __builtin_popcount(valid[byte]);
    if (rows % 8)
        good += __builtin_popcount(valid[rows / 8] & ((1u << rows % 8) - 1));
    return rows - good;
}

/* Get the memory of a column of nulls. */
static bool fill_blank(Column *column, int64_t rows) {
    column->values = calloc((size_t)rows + 1, sizes[column->kind]);
    column->valid = calloc((size_t)rows / 8 + 1, 1);
    column->text = column->kind == TEXT ? malloc(1) : NULL;
    return column->values && column->valid && (column->text || column->kind != TEXT);
}

/* Hand the memory of a column over to an array of `rows` values, without the columns inside of it. */
static bool fill_buffers(struct ArrowArray *array, Column *column, int64_t rows) {
    Held *held = calloc(1, sizeof(Held));
    if (!held || (column->blank && !fill_blank(column, rows))) {
        free(held);
        return false;
    }
    int64_t nulls = column->valid ? count_nulls(column->valid, rows) : 0;
    if (!nulls) {
        free(column->valid);
        column->valid = NULL;
    }
    uint8_t *text = column->text ? realloc(column->text, (size_t)column->used + 1) : NULL;
    held->buffers[0] = column->valid;
    held->buffers[1] = column->values;
    held->buffers[2] = text ? text : column->text;
    held->buffers[3] = &held->text_size;
    held->text_size = column->used;
    *array = (struct ArrowArray){
        .length = rows,
        .null_count = nulls,
        .n_buffers = column->kind == TEXT ? 4 : column->kind == TURN ? 1 : 2,
        .buffers = held->buffers,
        .release = release_child,
        .private_data = held,
    };
    column->values = column->valid = column->text = NULL;
    return true;
}

/* Hand the memory of a column over to an array of `rows` values; what is left of either is to be closed. */
static bool fill_child(struct ArrowArray *array, Column *column, int64_t rows) {
    int64_t inner_rows = is_list(column->kind) ? column->offsets[rows] : rows;
    if (!fill_buffers(array, column, rows))
        return false;
    if (!column->inner_count)
        return true;
    array->children = calloc((size_t)column->inner_count, sizeof(struct ArrowArray *));
    if (!array->children)
        return false;
    for (int place = 0; place < column->inner_count; place++) {
        struct ArrowArray *child = array->children[array->n_children++] = calloc(1, sizeof *child);
        if (!child || !fill_child(child, &column->inner[place], inner_rows))
            return false;
    }
    return true;
}

static bool describe_child(struct ArrowSchema *schema, const Column *column, const char *name) {
    static const char *formats[] = {[TEXT] = "vu",  [INT] = "l",    [FLOAT] = "g", [BOOL] = "b",
                                    [TEXTS] = "+L", [CHATS] = "+L", [TURN] = "+s"};
    static const char *parts[] = {"role", "content", "weight", "details"};
    char *copy = malloc(strlen(name) + 1);
    if (!copy)
        return false;
    strcpy(copy, name);
    *schema = (struct ArrowSchema){.format = formats[column->kind],
                                   .name = copy,
                                   .flags = NULLABLE,
                                   .release = release_schema,
                                   .private_data = copy};
    if (!column->inner_count)
        return true;
    schema->children = calloc((size_t)column->inner_count, sizeof(struct ArrowSchema *));
    if (!schema->children)
        return false;
    for (int place = 0; place < column->inner_count; place++) {
        struct ArrowSchema *child = schema->children[schema->n_children++] = calloc(1, sizeof *child);
        if (!child || !describe_child(child, &column->inner[place], column->kind == TURN ? parts[place] : "item"))
            return false;
    }
    return true;
}

/* Get memory for a struct of `count` fields that are empty as yet; NULL where there is none. */
static struct ArrowArray *open_struct(Py_ssize_t count, int64_t rows) {
    struct ArrowArray *array = calloc(1, sizeof *array);
    if (!array)
        return NULL;
    array->length = rows;
    array->n_buffers = 1;
    array->release = release_struct;
    array->buffers = calloc(1, sizeof(void *));
    array->children = calloc((size_t)count + 1, sizeof(struct ArrowArray *));
    bool got = array->buffers && array->children;
    while (got && array->n_children < count) {
        struct ArrowArray *child = calloc(1, sizeof *child);
        if ((got = child != NULL))
            array->children[array->n_children++] = child;
    }
    if (got)
        return array;
    release_struct(array);
    free(array);
    return NULL;
}

static struct ArrowSchema *open_schema(Py_ssize_t count) {
    struct ArrowSchema *schema = calloc(1, sizeof *schema);
    if (!schema)
        return NULL;
    schema->format = "+s";
    schema->release = release_schema;
    schema->children = calloc((size_t)count + 1, sizeof(struct ArrowSchema *));
    bool got = schema->children != NULL;
    while (got && schema->n_children < count) {
        struct ArrowSchema *child = calloc(1, sizeof *child);
        if ((got = child != NULL))
            schema->children[schema->n_children++] = child;
    }
    if (got)
        return schema;
    release_schema(schema);
    free(schema);
    return NULL;
}

static void drop_array(PyObject *capsule) {
    struct ArrowArray *array = PyCapsule_GetPointer(capsule, "arrow_array");
    if (array->release)
        array->release(array);
    free(array);
}

static void drop_schema(PyObject *capsule) {
    struct ArrowSchema *schema = PyCapsule_GetPointer(capsule, "arrow_schema");
    if (schema->release)
        schema->release(schema);
    free(schema);
}

PyObject *export_columns(Column *columns, PyObject *names, Py_ssize_t count, int64_t rows) {
    struct ArrowSchema *schema = open_schema(count);
    PyObject *described = schema ? PyCapsule_New(schema, "arrow_schema", drop_schema) : PyErr_NoMemory();
    struct ArrowArray *array = described ? open_struct(count, rows) : NULL;
    PyObject *held = array ? PyCapsule_New(array, "arrow_array", drop_array) : described ? PyErr_NoMemory() : NULL;
    bool done = described && held;
    for (Py_ssize_t place = 0; done && place < count; place++) {
        PyObject *item = PySequence_GetItem(names, place);
        const char *name = item ? PyUnicode_AsUTF8AndSize(item, NULL) : NULL;
        done = name != NULL;
        if (done && !(describe_child(schema->children[place], &columns[place], name) &&
                      fill_child(array->children[place], &columns[place], rows))) {
            PyErr_NoMemory();
            done = false;
        }
        Py_XDECREF(item);
    }
    for (Py_ssize_t place = 0; place < count; place++)
        column_close(&columns[place]); /* what was not handed over */
    PyObject *result = done ? PyTuple_Pack(2, described, held) : NULL;
    Py_XDECREF(described);
    Py_XDECREF(held);
    return result;
}
