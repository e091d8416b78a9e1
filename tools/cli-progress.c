/*
 * The progress bar: one line on stderr, from the first second on, ten times a second at most.
 *
 *	reading [#########...............]  38%  1,234/3,210 files  412/s  ETA 5s
 *
 * SIGINT asks the work to stop at its next step; a second one ends the program as usual. What was
 * started with SIGINT ignored (a script's job in the background) goes on ignoring it.
 */
#include <inttypes.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "store/base/clock.h"
#include "tools/cli-private.h"

#define SECOND INT64_C(1000000000)
#define BAR_WIDTH 24

struct tv_cli_bar {
	struct tv_progress progress;
	pthread_mutex_t lock;	    /* steps may come from several threads */
	int64_t phase_start, drawn; /* boot time */
	char phase[32];
	bool enabled, visible;
	struct sigaction before; /* what SIGINT did */
};

/* SA_RESETHAND is what counts: the kernel takes the handler away when the signal comes. That it is
 * gone tells every thread of the interrupt, with no variable that a handler would have to reach,
 * and lets the next one end the program. */
static void on_interrupt(int number)
{
	(void)number;
}

static void watch_interrupt(struct tv_cli_bar *b)
{
	struct sigaction action = { .sa_handler = on_interrupt, .sa_flags = (int)SA_RESETHAND };
	sigaction(SIGINT, NULL, &b->before);
	if (b->before.sa_handler != SIG_IGN)
		sigaction(SIGINT, &action, NULL);
}

static bool interrupted(void)
{
	struct sigaction now;
	return sigaction(SIGINT, NULL, &now) == 0 && now.sa_handler == SIG_DFL;
}

static void put_number(char *out, size_t n, uint64_t v)
{
	char digits[24];
	int len = snprintf(digits, sizeof(digits), "%" PRIu64, v);
	size_t at = 0;
	for (int i = 0; i < len && at + 2 < n; i++) {
		if (i && (len - i) % 3 == 0)
			out[at++] = ',';
		out[at++] = digits[i];
	}
	out[at] = '\0';
}

static void put_amount(char out[32], uint64_t v, const char *unit)
{
	if (strcmp(unit, "bytes") == 0)
		tv_cli_size(v, out);
	else
		put_number(out, 32, v);
}

static void put_eta(char out[32], double seconds)
{
	unsigned s = seconds < 359999 ? (unsigned)(seconds + 0.5) : 359999;
	if (s >= 3600)
		snprintf(out, 32, "%uh%02um", s / 3600, s / 60 % 60);
	else if (s >= 60)
		snprintf(out, 32, "%um%02us", s / 60, s % 60);
	else
		snprintf(out, 32, "%us", s);
}

static void draw(struct tv_cli_bar *b, int64_t now, uint64_t done, uint64_t total, const char *unit)
{
	char done_text[32], total_text[32], rate_text[32], eta[32], bar[BAR_WIDTH + 1];
	double elapsed = (double)(now - b->phase_start) / (double)SECOND;
	double rate = elapsed > 0 ? (double)done / elapsed : 0;
	const char *word = strcmp(unit, "bytes") == 0 ? "" : unit;

	put_amount(done_text, done, unit);
	put_amount(rate_text, (uint64_t)rate, unit);
	b->visible = true;
	b->drawn = now;
	if (!total) {
		fprintf(stderr, "\r%s: %s %s  %s/s\033[K", b->phase, done_text, word, rate_text);
		return;
	}
	done = done < total ? done : total;
	size_t filled = (size_t)((double)done / (double)total * BAR_WIDTH);
	memset(bar, '.', BAR_WIDTH);
	memset(bar, '#', filled);
	bar[BAR_WIDTH] = '\0';
	put_amount(total_text, total, unit);
	put_eta(eta, rate > 0 ? (double)(total - done) / rate : 359999);
	fprintf(stderr, "\r%s [%s] %3.0f%%  %s/%s %s  %s/s  ETA %s\033[K", b->phase, bar,
		100.0 * (double)done / (double)total, done_text, total_text, word, rate_text, eta);
}

static int step(void *arg, const char *phase, uint64_t done, uint64_t total, const char *unit)
{
	struct tv_cli_bar *b = arg;
	if (interrupted())
		return -TV_E_INTERRUPTED;
	if (!b->enabled)
		return 0;
	pthread_mutex_lock(&b->lock);
	int64_t now = tv_boottime_ns();
	if (strcmp(b->phase, phase) != 0) {
		snprintf(b->phase, sizeof(b->phase), "%s", phase);
		b->phase_start = now;
	}
	if (now - b->phase_start >= SECOND && now - b->drawn >= SECOND / 10)
		draw(b, now, done, total, unit);
	pthread_mutex_unlock(&b->lock);
	return 0;
}

const struct tv_progress *tv_cli_progress(struct tv_cli *cli)
{
	if (!cli->bar) {
		struct tv_cli_bar *b = calloc(1, sizeof(*b));
		if (!b)
			return NULL;
		b->progress = (struct tv_progress){ step, b };
		pthread_mutex_init(&b->lock, NULL);
		b->enabled = cli->progress_bar && !cli->quiet;
		cli->bar = b;
		watch_interrupt(b);
	}
	return &cli->bar->progress;
}

void tv_cli_progress_clear(struct tv_cli *cli)
{
	struct tv_cli_bar *b = cli->bar;
	if (!b)
		return;
	pthread_mutex_lock(&b->lock);
	if (b->visible)
		fputs("\r\033[K", stderr);
	b->visible = false;
	pthread_mutex_unlock(&b->lock);
}

void tv_cli_progress_free(struct tv_cli *cli)
{
	if (!cli->bar)
		return;
	tv_cli_progress_clear(cli);
	sigaction(SIGINT, &cli->bar->before, NULL);
	pthread_mutex_destroy(&cli->bar->lock);
	free(cli->bar);
	cli->bar = NULL;
}
