/*
 * An HTTP server of daily bars whose answers cost next to nothing, so that those who ask are what is measured.
 *
 *	price-server SYMBOLS HELD BARS...
 *
 * BARS are files of lines "time open high low close volume", whole numbers, prices in cents, all with as many lines. Symbol
 * number i (S00000, S00001, ...) has the prices of one of them, multiplied by a factor of its own. Answers
 * have the shape of Yahoo's charts:
 *
 *	GET /v8/finance/chart/S00042?period1=SECONDS&period2=SECONDS
 *	GET /hold/N		from now on the last N bars are not there yet
 *
 * A symbol's whole history is rendered before the first request; other spans are when they are asked for. It
 * listens on a free port of 127.0.0.1, prints it, serves all connections from one thread, and ends when its
 * stdin does.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define FIELDS 6
#define ROWS_MAX 4096
#define ROW_TEXT 80 /* a row takes less, and so does all that is around the rows */
#define REQUEST_MAX 4096
#define EVENTS 64
#define PATH "GET /v8/finance/chart/S"

struct series {
	int64_t field[FIELDS][ROWS_MAX];
	size_t rows;
};

struct text {
	char *bytes;
	size_t n;
};

struct client {
	int fd;
	char request[REQUEST_MAX];
	size_t got;
	char head[160];
	size_t head_left, body_left;
	const char *head_at, *body_at;
	char *own; /* a body that is not kept */
};

struct server {
	struct series *series;
	size_t n_series, symbols, held, held_first;
	struct text *whole; /* one a symbol */
	int poll, listener;
};

static void die(const char *what)
{
	fprintf(stderr, "price-server: %s: %s\n", what, strerror(errno));
	exit(1);
}

static void *memory(size_t n, size_t size)
{
	void *p = calloc(n ? n : 1, size);
	if (!p)
		die("memory");
	return p;
}

static void load(struct series *s, const char *path)
{
	FILE *file = fopen(path, "re");
	char line[256];
	if (!file)
		die(path);
	while (s->rows < ROWS_MAX && fgets(line, sizeof(line), file)) {
		char *at = line;
		for (int f = 0; f < FIELDS; f++)
			s->field[f][s->rows] = strtoll(at, &at, 10);
		s->rows++;
	}
	fclose(file);
}

/* --- answers ----------------------------------------------------------------------------------- */

static char *put(char *to, const char *text)
{
	while (*text)
		*to++ = *text++;
	return to;
}

/* A whole number, or with cents one with two decimals. */
static char *put_number(char *to, int64_t value, bool cents)
{
	char digits[24], *p = digits + sizeof(digits);
	if (cents) {
		*--p = (char)('0' + value % 10);
		*--p = (char)('0' + value / 10 % 10);
		*--p = '.';
		value /= 100;
	}
	do
		*--p = (char)('0' + value % 10);
	while (value /= 10);
	size_t n = (size_t)(digits + sizeof(digits) - p);
	memcpy(to, p, n);
	return to + n;
}

/* In thousandths: from 0.5 to 2. */
static int64_t factor_of(size_t symbol, int field)
{
	uint64_t x = (symbol + 1) * UINT64_C(0x9e3779b97f4a7c15) + (field == 5) * UINT64_C(77777);
	x ^= x >> 29;
	return 500 + (int64_t)(x % 1500);
}

static char *put_column(char *to, const struct series *s, size_t symbol, int field, size_t first,
			size_t end)
{
	int64_t factor = factor_of(symbol, field);
	for (size_t row = first; row < end; row++) {
		int64_t value = s->field[field][row];
		if (field)
			value = (value * factor + 500) / 1000;
		to = put_number(to, field && field < 5 && !value ? 1 : value, field && field < 5);
		*to++ = ',';
	}
	return first < end ? to - 1 : to;
}

static struct text render(const struct server *server, size_t symbol, size_t first, size_t end)
{
	static const char *const names[FIELDS] = {
		"", "\"open\":[", "],\"high\":[", "],\"low\":[", "],\"close\":[", "],\"volume\":["
	};
	const struct series *s = &server->series[symbol % server->n_series];
	struct text out = { memory(end - first + 8, ROW_TEXT), 0 };
	char *to = out.bytes;
	to += sprintf(
		to,
		"{\"chart\":{\"result\":[{\"meta\":{\"currency\":\"USD\",\"symbol\":\"S%05zu\","
		"\"gmtoffset\":-18000},\"timestamp\":[",
		symbol);
	to = put_column(to, s, symbol, 0, first, end);
	to = put(to, "],\"indicators\":{\"quote\":[{");
	for (int f = 1; f < FIELDS; f++)
		to = put_column(put(to, names[f]), s, symbol, f, first, end);
	to = put(to, "]}]}}],\"error\":null}}");
	out.n = (size_t)(to - out.bytes);
	return out;
}

static void render_all(struct server *server)
{
	server->whole = memory(server->symbols, sizeof(*server->whole));
	for (size_t i = 0; i < server->symbols; i++) {
		size_t rows = server->series[i % server->n_series].rows;
		struct text *whole = &server->whole[i];
		*whole = render(server, i, 0, rows - server->held);
		char *shorter = realloc(whole->bytes, whole->n);
		whole->bytes = shorter ? shorter : whole->bytes;
	}
}

/* --- requests ---------------------------------------------------------------------------------- */

static int64_t parameter(const char *request, const char *name, int64_t otherwise)
{
	const char *at = strstr(request, name);
	return at ? strtoll(at + strlen(name), NULL, 10) : otherwise;
}

static void answer(struct client *c, const char *status, const char *body, size_t n)
{
	int head = snprintf(
		c->head, sizeof(c->head),
		"HTTP/1.1 %s\r\nContent-Type: application/json\r\nContent-Length: %zu\r\n\r\n",
		status, n);
	c->head_at = c->head;
	c->head_left = (size_t)head;
	c->body_at = body;
	c->body_left = n;
}

static void answer_bars(struct server *server, struct client *c, size_t symbol)
{
	const struct series *s = &server->series[symbol % server->n_series];
	size_t first = 0, end = s->rows - server->held;
	int64_t from = parameter(c->request, "period1=", 0),
		to = parameter(c->request, "period2=", INT64_MAX);
	while (first < end && s->field[0][first] < from)
		first++;
	while (end > first && s->field[0][end - 1] >= to)
		end--;
	if (first == 0 && end == s->rows - server->held_first) {
		answer(c, "200 OK", server->whole[symbol].bytes, server->whole[symbol].n);
		return;
	}
	struct text body = render(server, symbol, first, end);
	c->own = body.bytes;
	answer(c, "200 OK", body.bytes, body.n);
}

static void handle(struct server *server, struct client *c)
{
	size_t number;
	if (sscanf(c->request, PATH "%zu", &number) == 1 && number < server->symbols) {
		answer_bars(server, c, number);
	} else if (sscanf(c->request, "GET /hold/%zu", &number) == 1 &&
		   number < server->series[0].rows) {
		server->held = number;
		answer(c, "200 OK", "{}", 2);
	} else {
		answer(c, "404 Not Found", "{}", 2);
	}
}

/* --- connections ------------------------------------------------------------------------------- */

static void drop(struct client *c)
{
	close(c->fd);
	free(c->own);
	free(c);
}

/* Sends what is left; false when the connection is gone. */
static bool push(struct client *c)
{
	while (c->head_left || c->body_left) {
		bool head = c->head_left != 0;
		ssize_t n = send(c->fd, head ? c->head_at : c->body_at,
				 head ? c->head_left : c->body_left,
				 MSG_NOSIGNAL | (head ? MSG_MORE : 0));
		if (n < 0)
			return errno == EAGAIN;
		if (head) {
			c->head_at += n;
			c->head_left -= (size_t)n;
		} else {
			c->body_at += n;
			c->body_left -= (size_t)n;
		}
	}
	free(c->own);
	c->own = NULL;
	return true;
}

/* Reads, and answers the next request once the one before is answered. */
static bool serve(struct server *server, struct client *c)
{
	ssize_t n = recv(c->fd, c->request + c->got, sizeof(c->request) - 1 - c->got, 0);
	if (n == 0 || (n < 0 && errno != EAGAIN))
		return false;
	c->got += n > 0 ? (size_t)n : 0;
	if (!push(c))
		return false;
	while (!c->head_left && !c->body_left) {
		c->request[c->got] = '\0';
		char *end = strstr(c->request, "\r\n\r\n");
		if (!end)
			return c->got < sizeof(c->request) - 1;
		handle(server, c);
		size_t used = (size_t)(end + 4 - c->request);
		memmove(c->request, c->request + used, c->got -= used);
		if (!push(c))
			return false;
	}
	return true;
}

static void take_client(struct server *server)
{
	int fd = accept4(server->listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC), on = 1,
	    room = 1 << 20;
	if (fd < 0)
		return;
	struct client *c = memory(1, sizeof(*c));
	c->fd = fd;
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &room, sizeof(room));
	struct epoll_event event = { .events = EPOLLIN | EPOLLOUT | EPOLLET, .data.ptr = c };
	if (epoll_ctl(server->poll, EPOLL_CTL_ADD, fd, &event) < 0)
		die("epoll");
}

static void watch(struct server *server, int fd, void *tag)
{
	struct epoll_event event = { .events = EPOLLIN, .data.ptr = tag };
	if (epoll_ctl(server->poll, EPOLL_CTL_ADD, fd, &event) < 0)
		die("epoll");
}

static void run(struct server *server)
{
	struct epoll_event events[EVENTS];
	for (;;) {
		int n = epoll_wait(server->poll, events, EVENTS, -1);
		for (int i = 0; i < n; i++) {
			void *tag = events[i].data.ptr;
			if (!tag)
				return;
			if (tag == server)
				take_client(server);
			else if (!serve(server, tag))
				drop(tag);
		}
	}
}

static void listen_there(struct server *server)
{
	struct sockaddr_in there = { .sin_family = AF_INET,
				     .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t n = sizeof(there);
	server->poll = epoll_create1(EPOLL_CLOEXEC);
	server->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (server->poll < 0 || server->listener < 0 ||
	    bind(server->listener, (struct sockaddr *)&there, n) < 0 ||
	    listen(server->listener, 1024) < 0 ||
	    getsockname(server->listener, (struct sockaddr *)&there, &n) < 0)
		die("socket");
	watch(server, server->listener, server);
	watch(server, STDIN_FILENO, NULL);
	printf("%d\n", ntohs(there.sin_port));
	fflush(stdout);
}

int main(int argc, char **argv)
{
	struct server server = { .n_series = (size_t)(argc > 3 ? argc - 3 : 0) };
	if (argc < 4)
		return 2;
	server.symbols = strtoul(argv[1], NULL, 10);
	server.held = server.held_first = strtoul(argv[2], NULL, 10);
	server.series = memory(server.n_series, sizeof(*server.series));
	for (size_t i = 0; i < server.n_series; i++) {
		load(&server.series[i], argv[3 + i]);
		if (server.series[i].rows <= server.held)
			return 2;
	}
	render_all(&server);
	listen_there(&server);
	run(&server);
	return 0;
}
