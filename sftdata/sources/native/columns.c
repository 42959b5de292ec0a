#include "columns.h"
#include "blocks.h"

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

#define FIRST_TEXT (1 << 16) /* bytes of text a column gets at first: most columns have short ones; and then all */

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
    column->values = block_take(((size_t)room + 1) * sizes[kind]);
    column->valid = block_take((size_t)room / 8 + 1);
    column->text_room = bytes < FIRST_TEXT ? bytes : FIRST_TEXT;
    column->text_most = bytes;
    column->text = kind == TEXT ? block_take((size_t)column->text_room + 1) : NULL;
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
    void *values = block_grow(column->values, ((size_t)room + 1) * sizes[column->kind]);
    column->values = values ? values : column->values;
    uint8_t *valid = block_grow(column->valid, (size_t)room / 8 + 1);
    column->valid = valid ? valid : column->valid;
    column->room = values && valid ? room : column->room;
    return values && valid;
}

bool text_grow(Column *column) {
    uint8_t *text = block_grow(column->text, (size_t)column->text_most + 1);
    column->lost |= !text;
    if (!text)
        return false;
    column->text = text;
    column->text_room = column->text_most;
    return true;
}

void column_close(Column *column) {
    for (int place = 0; place < column->inner_count; place++)
        column_close(&column->inner[place]);
    free(column->inner);
    block_give(column->values);
    block_give(column->valid);
    block_give(column->text);
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
            block_give((void *)held->buffers[place]);
    for (int64_t place = 0; array->children && place < array->n_children; place++) {
        if (array->children[place] && array->children[place]->release)
            array->children[place]->release(array->children[place]);
        free(array->children[place]);
    }
    free(array->children);
    free(held);
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
    size_t bytes = ((size_t)rows + 1) * sizes[column->kind];
    column->values = block_take(bytes);
    column->valid = block_take((size_t)rows / 8 + 1);
    column->text = column->kind == TEXT ? block_take(1) : NULL;
    if (!column->values || !column->valid || (column->kind == TEXT && !column->text))
        return false;
    memset(column->values, 0, bytes);
    memset(column->valid, 0, (size_t)rows / 8 + 1);
    return true;
}

/* Hand the memory of a column over to an array of `rows` values, without the columns inside of it. */
static bool fill_buffers(struct ArrowArray *array, Column *column, int64_t rows) {
    Held *held = calloc(1, sizeof(Held));
    if (!held || column->lost || (column->blank && !fill_blank(column, rows))) {
        free(held);
        return false;
    }
    int64_t nulls = column->valid ? count_nulls(column->valid, rows) : 0;
    if (!nulls) {
        block_give(column->valid);
        column->valid = NULL;
    }
    held->buffers[0] = column->valid;
    held->buffers[1] = column->values;
    held->buffers[2] = column->text;
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

/* Make a capsule of memory that holds nothing yet. */
static PyObject *open_capsule(size_t size, const char *name, PyCapsule_Destructor drop) {
    void *memory = calloc(1, size);
    PyObject *capsule = memory ? PyCapsule_New(memory, name, drop) : PyErr_NoMemory();
    if (!capsule)
        free(memory);
    return capsule;
}

static PyObject *export_column(Column *column, int64_t rows) {
    PyObject *described = open_capsule(sizeof(struct ArrowSchema), "arrow_schema", drop_schema);
    PyObject *held = described ? open_capsule(sizeof(struct ArrowArray), "arrow_array", drop_array) : NULL;
    PyObject *result = NULL;
    if (held) {
        bool done = describe_child(PyCapsule_GetPointer(described, "arrow_schema"), column, "") &&
                    fill_child(PyCapsule_GetPointer(held, "arrow_array"), column, rows);
        result = done ? PyTuple_Pack(2, described, held) : PyErr_NoMemory();
    }
    Py_XDECREF(described);
    Py_XDECREF(held);
    return result;
}

PyObject *export_columns(Column *columns, Py_ssize_t count, int64_t rows) {
    PyObject *all = PyTuple_New(count);
    for (Py_ssize_t place = 0; all && place < count; place++) {
        PyObject *capsules = export_column(&columns[place], rows);
        if (!capsules || PyTuple_SetItem(all, place, capsules) < 0)
            Py_CLEAR(all);
    }
    return all;
}
