/* Counting by many threads, and the socket that tells: peers that do not read, many, none. */
#include "fs/stats.h"

#include <fcntl.h>
#include <poll.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>

#include "store/base/cleanup.h"
#include "store/base/clock.h"
#include "store/base/json.h"
#include "tests/unit/support.h"

struct counting {
	struct tv_stats stats;
	struct sockaddr_un address;
	socklen_t length;
	int listen_fd;
};

static int setup(void **state)
{
	struct counting *f = calloc(1, sizeof(*f));
	f->stats.passthrough = "on";
	f->listen_fd = -1;
	*state = f;
	return tv_stats_init(&f->stats);
}

static int teardown(void **state)
{
	struct counting *f = *state;
	tv_stats_stop(&f->stats);
	tv_stats_fini(&f->stats);
	tv_close_p(&f->listen_fd);
	free(f);
	return 0;
}

/* An address of its own, which the kernel chooses. */
static void listen_somewhere(struct counting *f)
{
	f->address.sun_family = AF_UNIX;
	f->length = sizeof(f->address);
	f->listen_fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(f->listen_fd, (struct sockaddr *)&f->address, sizeof(sa_family_t)),
			 0);
	assert_int_equal(listen(f->listen_fd, 16), 0);
	getsockname(f->listen_fd, (struct sockaddr *)&f->address, &f->length);
	assert_int_equal(tv_stats_start(&f->stats, NULL, NULL, f->listen_fd), 0);
}

static int reach(const struct counting *f)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(connect(fd, (const struct sockaddr *)&f->address, f->length), 0);
	return fd;
}

/* Reads one document to its end, for ten seconds at most. */
static void read_doc(int fd, struct tv_figures *out)
{
	tv_autobuf struct tv_buf b = TV_BUF_INIT;
	tv_autojson cJSON *doc = NULL;
	char chunk[1000];
	struct pollfd ready = { .fd = fd, .events = POLLIN };
	for (;;) {
		assert_int_equal(poll(&ready, 1, 10000), 1);
		ssize_t n = read(fd, chunk, sizeof(chunk));
		assert_true(n >= 0);
		if (n == 0)
			break;
		tv_buf_add(&b, chunk, (size_t)n);
	}
	assert_int_equal(tv_json_parse((const char *)b.data, b.len, &doc, NULL), 0);
	tv_figures_parse(doc, out);
}

static void ask(const struct counting *f, struct tv_figures *out)
{
	tv_autoclose int fd = reach(f);
	read_doc(fd, out);
}

static void one(struct tv_stats *s, enum tv_op op, bool fails)
{
	tv_stats_begin(s, op);
	if (fails)
		tv_stats_failed(s);
	tv_stats_end(s);
}

static void test_counts(void **state)
{
	struct counting *f = *state;
	tv_autofree struct tv_figures *got = calloc(1, sizeof(*got));
	const struct timespec pause = { .tv_nsec = 3 * 1000 * 1000 };

	listen_somewhere(f);
	for (int i = 0; i < 10; i++)
		one(&f->stats, TV_OP_LOOKUP, i == 0);
	tv_stats_begin(&f->stats, TV_OP_WRITE);
	tv_stats_bytes(&f->stats, TV_FIGURE_WRITTEN_BYTES, 4096);
	nanosleep(&pause, NULL); /* what is timed, not waited for */
	tv_stats_end(&f->stats);
	tv_stats_begin(&f->stats, TV_OP_READ); /* and never answered */
	ask(f, got);
	assert_int_equal(got->ops[TV_OP_LOOKUP].begun, 10);
	assert_int_equal(got->ops[TV_OP_LOOKUP].errors, 1);
	assert_int_equal(tv_histogram_count(&got->ops[TV_OP_LOOKUP].latency), 10);
	assert_int_equal(got->ops[TV_OP_READ].begun, 1);
	assert_int_equal(tv_histogram_count(&got->ops[TV_OP_READ].latency), 0);
	const struct tv_histogram *h = &got->ops[TV_OP_WRITE].latency;
	assert_true(h->max >= 3000000 && h->total == h->max && h->max < 3000000000);
	assert_int_equal(got->numbers[TV_FIGURE_WRITTEN_BYTES], 4096);
	assert_true(got->numbers[TV_FIGURE_THREADS] >= 2);
	assert_true(got->numbers[TV_FIGURE_DESCRIPTORS] >= 5);
	assert_true(got->numbers[TV_FIGURE_RESIDENT_BYTES] >=
		    got->numbers[TV_FIGURE_PRIVATE_BYTES]);
	assert_true(got->numbers[TV_FIGURE_PRIVATE_BYTES] > 0);
	assert_string_equal(got->passthrough, "on");
	assert_string_equal(got->program, TVFS_VERSION);
}

enum { THREADS = 4, EACH = 20000 };

static void *work(void *arg)
{
	struct counting *f = arg;
	for (int i = 0; i < EACH; i++) {
		one(&f->stats, i % 2 ? TV_OP_LOOKUP : TV_OP_OPEN, i % 10 == 0);
		tv_stats_bytes(&f->stats, TV_FIGURE_READ_BYTES, 3);
	}
	return NULL;
}

static size_t count_threads(const struct tv_stats *s)
{
	size_t n = 0;
	for (const struct tv_stats_thread *t = s->threads; t; t = t->next)
		n++;
	return n;
}

/* Threads come and go while figures are taken: nothing is lost, and memory is used again. */
static void test_threads(void **state)
{
	struct counting *f = *state;
	tv_autofree struct tv_figures *got = calloc(1, sizeof(*got));
	pthread_t threads[THREADS];
	enum { ROUNDS = 3 };

	for (int round = 0; round < ROUNDS; round++) {
		for (size_t i = 0; i < THREADS; i++)
			assert_int_equal(pthread_create(&threads[i], NULL, work, f), 0);
		for (int look = 0; look < 20; look++) {
			tv_stats_figures(&f->stats, got);
			const struct tv_op_figures *op = &got->ops[TV_OP_OPEN];
			assert_true(tv_histogram_count(&op->latency) <= op->begun);
		}
		for (size_t i = 0; i < THREADS; i++)
			pthread_join(threads[i], NULL);
	}
	tv_stats_figures(&f->stats, got);
	assert_int_equal(got->ops[TV_OP_LOOKUP].begun, ROUNDS * THREADS * EACH / 2);
	assert_int_equal(tv_histogram_count(&got->ops[TV_OP_OPEN].latency),
			 ROUNDS * THREADS * EACH / 2);
	assert_int_equal(got->ops[TV_OP_OPEN].errors, ROUNDS * THREADS * EACH / 10);
	assert_int_equal(got->numbers[TV_FIGURE_READ_BYTES], 3 * ROUNDS * THREADS * EACH);
	assert_true(count_threads(&f->stats) <= THREADS);
}

static void fill_all(struct tv_stats *s)
{
	for (size_t op = 0; op < TV_OP_COUNT; op++) {
		one(s, (enum tv_op)op, false);
		for (size_t i = 0; i < TV_HISTOGRAM_BUCKETS - 1; i++)
			tv_histogram_add(&s->threads->ops[op].latency, tv_histogram_bound(i));
	}
}

/* The longest document there can be, and peers that connect and do not read it: nobody else has to wait
 * for them, nor has the end; and one that went away is nothing to die of. */
static void test_peers_that_do_not_read(void **state)
{
	struct counting *f = *state;
	tv_autofree struct tv_figures *got = calloc(1, sizeof(*got));
	int idle[10];

	listen_somewhere(f);
	fill_all(&f->stats);
	for (size_t i = 0; i < 10; i++)
		idle[i] = reach(f);
	tv_autoclose int gone = reach(f);
	close(tv_steal_fd(&gone));
	int64_t start = tv_boottime_ns();
	ask(f, got);
	assert_int_equal(got->ops[TV_OP_LOOKUP].begun, 1);
	assert_int_equal(tv_histogram_count(&got->ops[TV_OP_COPY].latency), TV_HISTOGRAM_BUCKETS);
	tv_autoclose int last = reach(f);
	tv_stats_stop(&f->stats);
	assert_true(tv_boottime_ns() - start < INT64_C(5000000000));
	for (size_t i = 0; i < 10; i++)
		close(idle[i]);
}

/* With no descriptor left a connection waits; it is answered when there is one again. */
static void test_out_of_descriptors(void **state)
{
	struct counting *f = *state;
	tv_autofree struct tv_figures *got = calloc(1, sizeof(*got));
	struct rlimit limit, low;

	listen_somewhere(f);
	tv_autoclose int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
	low = (struct rlimit){ (rlim_t)fd + 1, limit.rlim_max };
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &low), 0);
	assert_int_equal(dup(fd), -1);
	assert_int_equal(connect(fd, (const struct sockaddr *)&f->address, f->length), 0);
	struct pollfd ready = { .fd = fd, .events = POLLIN };
	assert_int_equal(poll(&ready, 1, 120), 0);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
	read_doc(fd, got);
	ask(f, got);
}

static void test_no_socket(void **state)
{
	struct counting *f = *state;
	assert_int_equal(tv_stats_start(&f->stats, NULL, NULL, -1), 0);
	one(&f->stats, TV_OP_LOOKUP, false);
	tv_stats_stop(&f->stats);
	tv_stats_stop(&f->stats);
}

#define stats_test(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		stats_test(test_counts),
		stats_test(test_threads),
		stats_test(test_peers_that_do_not_read),
		stats_test(test_out_of_descriptors),
		stats_test(test_no_socket),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
