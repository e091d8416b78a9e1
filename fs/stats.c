#include "fs/stats.h"

#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>

#include "store/base/cleanup.h"
#include "store/base/clock.h"
#include "store/base/io.h"
#include "store/base/json.h"
#include "store/node-cache.h"

#define PATIENCE_NS ((int64_t)1000000000)
#define ACCEPT_PAUSE_MS 50

/* --- counting ------------------------------------------------------------------------------ */

static void thread_ended(void *arg)
{
	struct tv_stats_thread *t = arg;
	__atomic_store_n(&t->taken, false, __ATOMIC_RELEASE);
}

int tv_stats_init(struct tv_stats *s)
{
	int r = pthread_key_create(&s->key, thread_ended);
	if (r == 0)
		pthread_mutex_init(&s->lock, NULL);
	return -r;
}

void tv_stats_fini(struct tv_stats *s)
{
	pthread_key_delete(s->key);
	while (s->threads) {
		struct tv_stats_thread *t = s->threads;
		s->threads = t->next;
		munmap(t, sizeof(*t));
	}
	pthread_mutex_destroy(&s->lock);
}

/* Pages of their own, and only as many as there are kinds of requests: the rest is never touched. */
static struct tv_stats_thread *new_thread(struct tv_stats *s)
{
	struct tv_stats_thread *t =
		mmap(NULL, sizeof(*t), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (t == MAP_FAILED)
		return NULL;
	t->next = s->threads;
	s->threads = t;
	return t;
}

static struct tv_stats_thread *join(struct tv_stats *s)
{
	pthread_mutex_lock(&s->lock);
	struct tv_stats_thread *t = s->threads;
	while (t && __atomic_load_n(&t->taken, __ATOMIC_ACQUIRE))
		t = t->next;
	if (!t)
		t = new_thread(s);
	if (t)
		__atomic_store_n(&t->taken, true, __ATOMIC_RELAXED);
	pthread_mutex_unlock(&s->lock);
	if (t && pthread_setspecific(s->key, t) != 0) {
		thread_ended(t);
		return NULL;
	}
	return t;
}

void tv_stats_begin(struct tv_stats *s, enum tv_op op)
{
	struct tv_stats_thread *t = pthread_getspecific(s->key);
	if (!t && !(t = join(s)))
		return;
	t->op = op;
	tv_count(&t->ops[op].begun, 1);
	t->start_ns = tv_monotonic_ns();
}

void tv_stats_end(struct tv_stats *s)
{
	struct tv_stats_thread *t = pthread_getspecific(s->key);
	if (t)
		tv_histogram_add(&t->ops[t->op].latency,
				 (uint64_t)(tv_monotonic_ns() - t->start_ns));
}

void tv_stats_failed(struct tv_stats *s)
{
	struct tv_stats_thread *t = pthread_getspecific(s->key);
	if (t)
		tv_count(&t->ops[t->op].errors, 1);
}

void tv_stats_bytes(struct tv_stats *s, enum tv_figure which, size_t n)
{
	struct tv_stats_thread *t = pthread_getspecific(s->key);
	if (t)
		tv_count(&t->bytes[which], n);
}

/* --- gathering ----------------------------------------------------------------------------- */

static void add_threads(struct tv_stats *s, struct tv_figures *out)
{
	pthread_mutex_lock(&s->lock);
	const struct tv_stats_thread *first = s->threads;
	pthread_mutex_unlock(&s->lock);
	for (const struct tv_stats_thread *t = first; t; t = t->next) {
		for (size_t i = 0; i < TV_OP_COUNT; i++)
			tv_op_figures_add(&out->ops[i], &t->ops[i]);
		for (size_t i = 0; i < TV_ARRAY_LEN(t->bytes); i++)
			out->numbers[i] += tv_counted(&t->bytes[i]);
	}
}

static void add_view(struct tv_stats *s, uint64_t *numbers)
{
	struct tv_view_figures f;

	if (!s->view)
		return;
	tv_view_figures(s->view, &f);
	numbers[TV_FIGURE_PASSED_OPENS] = f.passed_opens;
	numbers[TV_FIGURE_PLAIN_OPENS] = f.plain_opens;
	numbers[TV_FIGURE_FALLBACKS] = f.fallbacks;
	numbers[TV_FIGURE_COPY_UPS] = f.copy_ups;
	numbers[TV_FIGURE_COPIED_BYTES] = f.copied_bytes;
	numbers[TV_FIGURE_INODES] = f.inodes;
	numbers[TV_FIGURE_INODE_BYTES] = f.inode_bytes;
	numbers[TV_FIGURE_NAME_SETS] = f.name_sets;
	numbers[TV_FIGURE_NAMES] = f.names;
	numbers[TV_FIGURE_NAME_BYTES] = f.name_bytes;
	numbers[TV_FIGURE_OPEN_FILES] = f.open_files;
	numbers[TV_FIGURE_OPEN_FOLDERS] = f.open_folders;
	numbers[TV_FIGURE_BACKING_IDS] = f.backing_ids;
	numbers[TV_FIGURE_IDLE_IDS] = f.idle_backings;
}

static void add_store(struct tv_stats *s, uint64_t *numbers)
{
	struct tv_node_cache_figures f;

	if (!s->store)
		return;
	tv_store_cache_figures(s->store, &f);
	numbers[TV_FIGURE_NODES] = f.entries;
	numbers[TV_FIGURE_NODE_BYTES] = f.bytes;
	numbers[TV_FIGURE_NODE_HITS] = f.hits;
	numbers[TV_FIGURE_NODE_MISSES] = f.misses;
}

static uint64_t status_line(const char *status, const char *key)
{
	const char *at = strstr(status, key);
	return at ? strtoull(at + strlen(key), NULL, 10) : 0;
}

/* Since Linux 6.2 the folder's size tells how many there are; before, it is 0. */
static uint64_t count_descriptors(void)
{
	struct stat st;
	uint64_t n = 0;

	if (stat("/proc/self/fd", &st) == 0 && st.st_size > 0)
		return (uint64_t)st.st_size;
	tv_autoclosedir DIR *d = opendir("/proc/self/fd");
	for (const struct dirent *e = d ? readdir(d) : NULL; e; e = readdir(d))
		n += e->d_name[0] != '.';
	return n ? n - 1 : 0; /* without the folder's own */
}

static void add_process(uint64_t *numbers)
{
	tv_autofree char *status = NULL;

	if (tv_io_read_file(AT_FDCWD, "/proc/self/status", 1 << 16, &status, NULL, NULL) == 0) {
		numbers[TV_FIGURE_RESIDENT_BYTES] = status_line(status, "\nVmRSS:") * 1024;
		numbers[TV_FIGURE_PRIVATE_BYTES] = status_line(status, "\nRssAnon:") * 1024;
		numbers[TV_FIGURE_THREADS] = status_line(status, "\nThreads:");
	}
	numbers[TV_FIGURE_DESCRIPTORS] = count_descriptors();
}

void tv_stats_figures(struct tv_stats *s, struct tv_figures *out)
{
	memset(out, 0, sizeof(*out));
	add_threads(s, out);
	add_view(s, out->numbers);
	add_store(s, out->numbers);
	add_process(out->numbers);
	out->uptime = (double)(tv_boottime_ns() - s->started_ns) / 1e9;
	snprintf(out->passthrough, sizeof(out->passthrough), "%s", s->passthrough);
	snprintf(out->program, sizeof(out->program), "%s", TVFS_VERSION);
}

/* --- telling ------------------------------------------------------------------------------- */

static char *document(struct tv_stats *s)
{
	tv_autofree struct tv_figures *f = malloc(sizeof(*f));
	if (!f)
		return NULL;
	tv_stats_figures(s, f);
	tv_autojson cJSON *doc = tv_figures_json(f);
	return doc ? cJSON_PrintUnformatted(doc) : NULL;
}

/* Waits until the peer can take more; false when it took too long, or we are to stop. */
static bool may_send(const struct tv_stats *s, int fd, int64_t until)
{
	struct pollfd fds[] = { { s->stop_fd, POLLIN, 0 }, { fd, POLLOUT, 0 } };
	int64_t left = (until - tv_boottime_ns()) / 1000000;
	return left > 0 && poll(fds, 2, (int)left) > 0 && !fds[0].revents;
}

/* One connection. A peer that does not read, or reads slowly, is not waited for. */
static void answer(struct tv_stats *s, int fd)
{
	int64_t until = tv_boottime_ns() + PATIENCE_NS;
	tv_autofree char *text = document(s);

	for (size_t at = 0, n = text ? strlen(text) : 0; at < n;) {
		ssize_t sent = send(fd, text + at, n - at, MSG_NOSIGNAL | MSG_DONTWAIT);
		if (sent > 0)
			at += (size_t)sent;
		else if (errno != EINTR && (errno != EAGAIN || !may_send(s, fd, until)))
			return;
	}
}

static void *serve(void *arg)
{
	struct tv_stats *s = arg;
	struct pollfd fds[] = { { s->stop_fd, POLLIN, 0 }, { s->listen_fd, POLLIN, 0 } };

	for (;;) {
		int n = poll(fds, 2, -1);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 || fds[0].revents)
			return NULL;
		tv_autoclose int fd = accept4(s->listen_fd, NULL, NULL, SOCK_CLOEXEC);
		if (fd >= 0)
			answer(s, fd);
		else /* no descriptor left, most likely: there will be some again */
			poll(fds, 1, ACCEPT_PAUSE_MS);
	}
}

int tv_stats_start(struct tv_stats *s, struct tv_view *view, struct tv_store *store, int listen_fd)
{
	s->view = view;
	s->store = store;
	s->listen_fd = listen_fd;
	s->started_ns = tv_boottime_ns();
	if (listen_fd < 0)
		return 0;
	s->stop_fd = eventfd(0, EFD_CLOEXEC);
	if (s->stop_fd < 0)
		return -errno;
	int r = pthread_create(&s->thread, NULL, serve, s);
	if (r) {
		close(s->stop_fd);
		return -r;
	}
	s->running = true;
	return 0;
}

void tv_stats_stop(struct tv_stats *s)
{
	if (!s->running)
		return;
	uint64_t one = 1;
	(void)!write(s->stop_fd, &one, sizeof(one));
	pthread_join(s->thread, NULL);
	close(s->stop_fd);
	s->running = false;
}
