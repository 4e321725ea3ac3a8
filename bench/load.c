/* The compiled client: drives one server over kept-alive HTTP/1.1 connections, a thread for each, and judges every answer.

   load HOST PORT PLAN ROWS SEATS

   PLAN tells one operation as steps, a directive a line; {name} stands for a value:
     STEP name
     GET path | POST path
     HEADER Name: value
     BODY form
     STATUS 303 [302 ...]
     TAKE name location parameter     from the query of the Location header
     TAKE name json member            from the top level of the JSON object in the body
     KEEP name json member            the same where it is there; else what was known stays
     WANT location parameter value    must be there and be this
     WANT json member [value]         must be there, not empty and, if a value is given, be this
   ROWS is a table parted by tabs, first line the names: one row for each operation, none used twice.
   SEATS is such a table too: one row for each connection.

   Prints the names of the steps, then a line for each operation with the microseconds of each step, then "reconnects" and
   how often a server closed a connection. Any answer that is not as the plan wants ends it: status 1, one line why. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <ctype.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

enum { MAX_VARIABLES = 64, MAX_STEPS = 8, MAX_CHECKS = 16, MAX_HEADERS = 8, MAX_PARTS = 96, REQUEST = 32768, ANSWER = 262144 };

typedef struct { const char *literal; int variable; } Part; /* literal where it is set, else the variable */
typedef struct { Part part[MAX_PARTS]; int count; } Template;
typedef struct { bool take, optional, json; int variable; char *member; Template value; } Check;
typedef struct {
    char *name; bool post, body_set; Template path, body, header[MAX_HEADERS]; int headers;
    int status[4], statuses; Check check[MAX_CHECKS]; int checks;
} Step;
typedef struct { int columns[MAX_VARIABLES], width; char ***cell; long rows; } Table;
typedef struct {
    int socket, seat; const char *value[MAX_VARIABLES]; char *taken[MAX_VARIABLES]; char request[REQUEST], answer[ANSWER + 1];
    int status; char *head, *body; size_t body_length; bool closing, used;
} Connection;

static char *variables[MAX_VARIABLES];
static int variable_count, step_count;
static Step steps[MAX_STEPS];
static Table rows, seats;
static const char *host, *port;
static struct sockaddr_in address;
static atomic_long next_operation, reconnects;
static float (*timing)[MAX_STEPS];

static _Noreturn void fail(const char *format, ...) {
    static pthread_mutex_t once = PTHREAD_MUTEX_INITIALIZER;
    va_list arguments;
    pthread_mutex_lock(&once); /* never given back: the first reason is the one that is told */
    va_start(arguments, format);
    vfprintf(stderr, format, arguments);
    fputc('\n', stderr);
    _exit(1);
}

static void *need(void *memory) {
    if (!memory) fail("out of memory");
    return memory;
}

static int variable(const char *name, size_t length) {
    for (int i = 0; i < variable_count; i++)
        if (strlen(variables[i]) == length && !memcmp(variables[i], name, length)) return i;
    if (variable_count == MAX_VARIABLES) fail("too many variables");
    variables[variable_count] = need(strndup(name, length));
    return variable_count++;
}

static Template template(const char *text) {
    Template made = {.count = 0};
    while (*text) {
        if (made.count == MAX_PARTS) fail("a template has too many parts");
        Part *part = &made.part[made.count++];
        if (*text == '{') {
            const char *end = strchr(text, '}');
            if (!end) fail("a template ends inside {}");
            part->literal = NULL;
            part->variable = variable(text + 1, (size_t)(end - text - 1));
            text = end + 1;
        } else {
            size_t length = strcspn(text, "{");
            part->literal = need(strndup(text, length));
            text += length;
        }
    }
    return made;
}

/* --- what is to be done ------------------------------------------------------------------------------------------ */

static char *whole(const char *path) {
    FILE *file = fopen(path, "rb");
    if (!file || fseek(file, 0, SEEK_END)) fail("cannot read %s", path);
    long size = ftell(file);
    rewind(file);
    char *text = need(malloc((size_t)size + 1));
    if (fread(text, 1, (size_t)size, file) != (size_t)size) fail("cannot read %s", path);
    text[size] = 0;
    fclose(file);
    return text;
}

static Table table(const char *path) {
    Table made = {.width = 0, .rows = -1};
    char *text = whole(path), *line;
    long lines = 1;
    for (char *at = text; *at; at++) lines += *at == '\n';
    made.cell = need(calloc((size_t)lines, sizeof *made.cell));
    while ((line = strsep(&text, "\n")) && (*line || text)) {
        char *cell, **row = NULL;
        int column = 0;
        if (made.rows >= 0) row = made.cell[made.rows] = need(calloc((size_t)made.width + 1, sizeof *row));
        while (*line && (cell = strsep(&line, "\t"))) {
            if (made.rows < 0) made.columns[made.width++] = variable(cell, strlen(cell));
            else if (column < made.width) row[column++] = cell;
            if (!line) break;
        }
        if (made.rows >= 0 && column != made.width) fail("%s: row %ld has %d cells", path, made.rows + 1, column);
        made.rows++;
    }
    return made;
}

static void plan(const char *path) {
    char *text = whole(path), *line;
    Step *step = NULL;
    while ((line = strsep(&text, "\n"))) {
        char *word = strsep(&line, " ");
        if (!*word) continue;
        if (!line) fail("plan: %s says nothing", word);
        if (!strcmp(word, "STEP")) {
            if (step_count == MAX_STEPS) fail("plan: too many steps");
            step = &steps[step_count++];
            step->name = line;
        } else if (!step) {
            fail("plan: %s before any STEP", word);
        } else if (!strcmp(word, "GET") || !strcmp(word, "POST")) {
            step->post = *word == 'P';
            step->path = template(line);
        } else if (!strcmp(word, "HEADER")) {
            if (step->headers == MAX_HEADERS) fail("plan: too many headers");
            step->header[step->headers++] = template(line);
        } else if (!strcmp(word, "BODY")) {
            step->body_set = true;
            step->body = template(line);
        } else if (!strcmp(word, "STATUS")) {
            for (char *one; (one = strsep(&line, " ")) && step->statuses < 4;) step->status[step->statuses++] = atoi(one);
        } else if (!strcmp(word, "TAKE") || !strcmp(word, "KEEP") || !strcmp(word, "WANT")) {
            if (step->checks == MAX_CHECKS) fail("plan: too many checks");
            Check *check = &step->check[step->checks++];
            check->take = *word != 'W';
            check->optional = *word == 'K';
            if (check->take) {
                char *name = strsep(&line, " ");
                check->variable = variable(name, strlen(name));
            }
            char *where = strsep(&line, " ");
            if (!line) fail("plan: %s needs a place and a member", word);
            check->json = !strcmp(where, "json");
            check->member = strsep(&line, " ");
            check->value = template(line ? line : "");
        } else {
            fail("plan: what is %s?", word);
        }
    }
    if (!step_count) fail("plan: no step");
}

/* --- asking ------------------------------------------------------------------------------------------------------ */

static size_t fill(const Connection *one, const Template *from, char *to, size_t room) {
    size_t used = 0;
    for (int i = 0; i < from->count; i++) {
        const Part *part = &from->part[i];
        const char *text = part->literal ? part->literal : one->value[part->variable];
        if (!text) fail("nothing is known of {%s}", variables[part->variable]);
        size_t length = strlen(text);
        if (used + length >= room) fail("a request is too long");
        memcpy(to + used, text, length);
        used += length;
    }
    to[used] = 0;
    return used;
}

static size_t request(Connection *one, const Step *step) {
    static const char form[] = "Content-Type: application/x-www-form-urlencoded\r\n";
    static _Thread_local char piece[REQUEST];
    char *to = one->request;
    size_t used = (size_t)sprintf(to, "%s ", step->post ? "POST" : "GET");
    used += fill(one, &step->path, to + used, REQUEST - used - 1024);
    used += (size_t)snprintf(to + used, REQUEST - used, " HTTP/1.1\r\nHost: %s:%s\r\nAccept: */*\r\n", host, port);
    for (int i = 0; i < step->headers; i++) {
        used += fill(one, &step->header[i], to + used, REQUEST - used - 8);
        used += (size_t)sprintf(to + used, "\r\n");
    }
    size_t length = step->body_set ? fill(one, &step->body, piece, sizeof piece) : 0;
    if (used + length + 256 > REQUEST) fail("step %s: the request is too long", step->name);
    if (step->body_set) used += (size_t)sprintf(to + used, "%sContent-Length: %zu\r\n", form, length);
    used += (size_t)sprintf(to + used, "\r\n");
    memcpy(to + used, piece, length);
    return used + length;
}

static void dial(Connection *one) {
    int yes = 1;
    struct timeval patience = {.tv_sec = 30};
    one->socket = socket(AF_INET, SOCK_STREAM, 0);
    if (one->socket < 0 || connect(one->socket, (struct sockaddr *)&address, sizeof address)) fail("cannot connect");
    setsockopt(one->socket, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
    setsockopt(one->socket, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    one->used = false;
}

/* The value of a header in the NUL-terminated head, or NULL; `length` is told. */
static char *header(char *head, const char *name, size_t *length) {
    size_t wanted = strlen(name);
    for (char *line = strstr(head, "\r\n"); line; line = strstr(line, "\r\n")) {
        line += 2;
        if (!strncasecmp(line, name, wanted) && line[wanted] == ':') {
            char *value = line + wanted + 1;
            value += strspn(value, " \t");
            *length = strcspn(value, "\r");
            return value;
        }
    }
    return NULL;
}

static size_t more(Connection *one, size_t have, const char *step) {
    if (have == ANSWER) fail("step %s: the answer is too long", step);
    ssize_t got = recv(one->socket, one->answer + have, ANSWER - have, 0);
    if (got <= 0) fail("step %s: the answer broke off", step);
    return have + (size_t)got;
}

static size_t unchunk(Connection *one, size_t have, const char *step) {
    size_t from = (size_t)(one->body - one->answer), to = from;
    for (;;) {
        char *end;
        while (!(end = memmem(one->answer + from, have - from, "\r\n", 2))) have = more(one, have, step);
        size_t size = strtoul(one->answer + from, NULL, 16);
        from = (size_t)(end - one->answer) + 2;
        while (have < from + size + 2) have = more(one, have, step);
        if (!size) return to - (size_t)(one->body - one->answer);
        memmove(one->answer + to, one->answer + from, size);
        to += size;
        from += size + 2;
    }
}

/* True when an answer came; false when a connection that had served before was closed on us before any byte of it. */
static bool answered(Connection *one, size_t length, const char *step) {
    for (size_t sent = 0; sent < length;) {
        ssize_t more_sent = send(one->socket, one->request + sent, length - sent, MSG_NOSIGNAL);
        if (more_sent <= 0) {
            if (one->used) return false;
            fail("step %s: cannot send", step);
        }
        sent += (size_t)more_sent;
    }
    ssize_t first = recv(one->socket, one->answer, ANSWER, 0);
    if (first <= 0) {
        if (one->used) return false;
        fail("step %s: no answer", step);
    }
    size_t have = (size_t)first, told;
    char *end;
    while (!(end = memmem(one->answer, have, "\r\n\r\n", 4))) have = more(one, have, step);
    one->head = one->answer;
    one->body = end + 4;
    end[2] = 0; /* the last header keeps its line's end */
    if (sscanf(one->head, "HTTP/1.1 %d", &one->status) != 1) fail("step %s: no HTTP/1.1 answer", step);
    char *value = header(one->head, "transfer-encoding", &told);
    if (value && told == 7 && !strncasecmp(value, "chunked", 7)) {
        one->body_length = unchunk(one, have, step);
    } else {
        value = header(one->head, "content-length", &told);
        if (!value && one->status != 204 && one->status != 304) fail("step %s: the answer has no length", step);
        one->body_length = value ? strtoul(value, NULL, 10) : 0;
        size_t before = (size_t)(one->body - one->answer);
        if (before + one->body_length > ANSWER) fail("step %s: the answer is too long", step);
        while (have < before + one->body_length) have = more(one, have, step);
    }
    one->body[one->body_length] = 0;
    value = header(one->head, "connection", &told);
    one->closing = value && told == 5 && !strncasecmp(value, "close", 5);
    one->used = true;
    return true;
}

/* --- judging ----------------------------------------------------------------------------------------------------- */

static char *past_string(char *at) { /* `at` is behind the opening quote; answers the closing one */
    for (; *at && *at != '"'; at++)
        if (*at == '\\' && at[1]) at++;
    return *at ? at : NULL;
}

static char *past_value(char *at) {
    int depth = 0;
    for (; *at; at++) {
        if (*at == '"') {
            if (!(at = past_string(at + 1))) return NULL;
        } else if (*at == '{' || *at == '[') {
            depth++;
        } else if (*at == '}' || *at == ']') {
            if (!depth--) return at;
        } else if (*at == ',' && !depth) {
            return at;
        }
    }
    return NULL;
}

/* A member at the top level of the JSON object `at`: the text of its value (of a string: between its quotes). */
static char *json_member(char *at, const char *name, size_t *length) {
    size_t wanted = strlen(name);
    at += strspn(at, " \t\r\n");
    if (*at++ != '{') return NULL;
    for (;;) {
        at += strspn(at, " \t\r\n,");
        if (*at++ != '"') return NULL;
        char *key = at, *key_end = past_string(at);
        if (!key_end) return NULL;
        at = key_end + 1 + strspn(key_end + 1, " \t\r\n");
        if (*at++ != ':') return NULL;
        at += strspn(at, " \t\r\n");
        char *value = at, *end = past_value(at);
        if (!end) return NULL;
        if ((size_t)(key_end - key) == wanted && !memcmp(key, name, wanted)) {
            while (end > value && isspace((unsigned char)end[-1])) end--;
            if (*value == '"') {
                value++;
                end--;
            }
            *length = (size_t)(end - value);
            return value;
        }
        at = end;
    }
}

static char *query_member(char *location, size_t whole_length, const char *name, size_t *length) {
    size_t wanted = strlen(name);
    char *stop = location + whole_length, *at = memchr(location, '?', whole_length);
    while (at && at < stop) {
        at++;
        char *end = at;
        while (end < stop && *end != '&' && *end != '#') end++;
        if ((size_t)(end - at) > wanted && !memcmp(at, name, wanted) && at[wanted] == '=') {
            *length = (size_t)(end - at) - wanted - 1;
            return at + wanted + 1;
        }
        at = end < stop && *end == '&' ? end : NULL;
    }
    return NULL;
}

static void judge(Connection *one, const Step *step) {
    bool right = false;
    char expected[4096];
    for (int i = 0; i < step->statuses; i++) right |= one->status == step->status[i];
    if (!right) fail("step %s: status %d: %.300s", step->name, one->status, one->body);
    for (int i = 0; i < step->checks; i++) {
        const Check *check = &step->check[i];
        size_t length = 0, located = 0;
        char *found = NULL;
        if (check->json) {
            found = json_member(one->body, check->member, &length);
        } else {
            char *location = header(one->head, "location", &located);
            if (location) found = query_member(location, located, check->member, &length);
        }
        if ((!found || !length) && check->optional) continue;
        if (!found || !length) {
            char *error = header(one->head, "location", &located);
            fail("step %s: no %s in the answer%s%.*s", step->name, check->member, error ? ", which leads to " : "",
                 error ? (int)located : 0, error ? error : "");
        }
        if (check->take) {
            if (memchr(found, '\\', length)) fail("step %s: %s is escaped", step->name, check->member);
            char *kept = one->taken[check->variable] = need(realloc(one->taken[check->variable], length + 1));
            memcpy(kept, found, length);
            kept[length] = 0;
            one->value[check->variable] = kept;
        } else if (check->value.count) {
            size_t wanted = fill(one, &check->value, expected, sizeof expected);
            if (wanted != length || memcmp(expected, found, length)) fail("step %s: another %s", step->name, check->member);
        }
    }
}

static double microseconds(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec * 1e6 + (double)now.tv_nsec / 1e3;
}

static void *drive(void *argument) {
    Connection *one = argument;
    dial(one);
    for (int i = 0; i < seats.width; i++) one->value[seats.columns[i]] = seats.cell[one->seat][i];
    for (long operation; (operation = atomic_fetch_add(&next_operation, 1)) < rows.rows;) {
        for (int i = 0; i < rows.width; i++) one->value[rows.columns[i]] = rows.cell[operation][i];
        for (int i = 0; i < step_count; i++) {
            size_t length = request(one, &steps[i]);
            double begun = microseconds();
            if (!answered(one, length, steps[i].name)) {
                atomic_fetch_add(&reconnects, 1);
                close(one->socket);
                dial(one);
                answered(one, length, steps[i].name);
            }
            timing[operation][i] = (float)(microseconds() - begun);
            judge(one, &steps[i]);
            if (one->closing) {
                atomic_fetch_add(&reconnects, 1);
                close(one->socket);
                dial(one);
            }
        }
    }
    close(one->socket);
    return NULL;
}

int main(int count, char **arguments) {
    if (count != 6) fail("usage: load HOST PORT PLAN ROWS SEATS");
    host = arguments[1];
    port = arguments[2];
    address.sin_family = AF_INET;
    address.sin_port = htons((uint16_t)atoi(port));
    if (inet_pton(AF_INET, !strcmp(host, "localhost") ? "127.0.0.1" : host, &address.sin_addr) != 1) fail("no address");
    plan(arguments[3]);
    rows = table(arguments[4]);
    seats = table(arguments[5]);
    if (rows.rows < 1 || seats.rows < 1) fail("no rows or no seats");
    timing = need(calloc((size_t)rows.rows, sizeof *timing));
    pthread_t *threads = need(calloc((size_t)seats.rows, sizeof *threads));
    for (int i = 0; i < seats.rows; i++) {
        Connection *one = need(calloc(1, sizeof *one));
        one->seat = i;
        if (pthread_create(&threads[i], NULL, drive, one)) fail("cannot start a thread");
    }
    for (int i = 0; i < seats.rows; i++) pthread_join(threads[i], NULL);
    for (int i = 0; i < step_count; i++) printf("%s%c", steps[i].name, i + 1 < step_count ? '\t' : '\n');
    for (long row = 0; row < rows.rows; row++)
        for (int i = 0; i < step_count; i++) printf("%.1f%c", timing[row][i], i + 1 < step_count ? '\t' : '\n');
    printf("reconnects\t%ld\n", atomic_load(&reconnects));
    return 0;
}
