#include "ingest/collect.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "store/base/cleanup.h"
#include "store/base/clock.h"

#define LATE "the deadline of the whole passed before it was asked for"

struct collection;

struct page {
	struct asset *asset;
	struct tv_bars rows;
};

struct asset {
	struct collection *all;
	size_t index;
	struct page *pages; /* owned */
	unsigned n_pages, left, tries;
	int code;
	char *error, *body; /* owned */
	size_t n_body;
};

struct collection {
	struct tv_fetch *fetch;
	struct tv_duck *duck;
	const struct tv_collect_ask *asks;
	struct asset *assets;
	size_t n;
	tv_collect_done *done;
	void *arg;
	int64_t deadline_ns; /* of tv_boottime_ns; 0: none */
};

static void asset_clear(struct asset *a)
{
	for (unsigned i = 0; a->pages && i < a->n_pages; i++)
		tv_bars_free(&a->pages[i].rows);
	free(a->pages);
	free(a->error);
	free(a->body);
	a->pages = NULL;
	a->error = a->body = NULL;
}

static void collection_free_p(struct collection *all)
{
	for (size_t i = 0; i < all->n; i++)
		asset_clear(&all->assets[i]);
	free(all->assets);
}

static int hand_over(struct asset *a, struct tv_bars *rows, struct tv_err *err)
{
	const struct tv_collect_ask *ask = &a->all->asks[a->index];
	tv_bars_clip(rows, ask->from, ask->to);
	struct tv_collected got = {
		.index = a->index,
		.code = a->code,
		.error = a->error ? a->error : "",
		.rows = rows,
		.body = a->body,
		.n_body = a->n_body,
		.tries = a->tries,
	};
	int r = a->all->done(a->all->arg, &got, err);
	asset_clear(a);
	return r < 0 ? r : 0;
}

/* Puts the pages behind one another; the first one's arrays become the whole. */
static int finish(struct asset *a, struct tv_err *err)
{
	tv_autobars struct tv_bars whole = TV_BARS_INIT;
	for (unsigned i = 0; i < a->n_pages && a->code == 0; i++) {
		struct tv_bars *page = &a->pages[i].rows;
		if (!whole.n) {
			tv_bars_free(&whole);
			whole = *page;
			*page = TV_BARS_INIT;
			continue;
		}
		int r = tv_bars_append(&whole, page, 0, page->n, err);
		if (r < 0)
			return r;
		tv_bars_free(page);
	}
	return hand_over(a, &whole, err);
}

/* The first thing that goes wrong is what is told. */
static void fail(struct asset *a, int code, const char *error, const char *body, size_t n)
{
	if (a->code)
		return;
	a->code = code;
	a->error = strdup(error);
	a->body = n ? malloc(n) : NULL;
	if (a->body) {
		memcpy(a->body, body, n);
		a->n_body = tv_source_redact(a->all->asks[a->index].source, a->body, n);
	}
}

/* The code of an HTTP error is the source's own, where it says what is wrong. */
static void fail_status(struct asset *a, const struct tv_fetch_answer *answer)
{
	const struct tv_collect_ask *ask = &a->all->asks[a->index];
	struct tv_err why = TV_ERR_INIT;
	tv_autobars struct tv_bars none = TV_BARS_INIT;
	int r = 0;
	if (answer->status >= 400 && answer->len)
		r = tv_source_parse(ask->source, ask->symbol, answer->status, answer->body,
				    answer->len, &none, &why);
	char text[2 * TV_ERR_TEXT];
	snprintf(text, sizeof(text), "%s from %s: %s", ask->symbol, tv_source_name(ask->source),
		 answer->error);
	bool known = r == -TV_E_MISSING || r == -EBUSY;
	bool says = known || r == -EREMOTE;
	fail(a, known ? r : answer->code, says ? why.text : text, answer->body, answer->len);
}

static int on_answer(void *arg, const struct tv_fetch_answer *answer, struct tv_err *err)
{
	struct page *page = arg;
	struct asset *a = page->asset;
	const struct tv_collect_ask *ask = &a->all->asks[a->index];
	if (answer->code < 0) {
		fail_status(a, answer);
	} else if (a->code == 0) {
		struct tv_err why = TV_ERR_INIT;
		int r = tv_source_parse(ask->source, ask->symbol, 0, answer->body, answer->len,
					&page->rows, &why);
		if ((r == -EPROTO || r == -EREMOTE || r == -EBUSY) && !answer->last)
			return TV_FETCH_AGAIN;
		if (r < 0)
			fail(a, r, why.text, answer->body, answer->len);
	}
	a->tries += answer->tries;
	return --a->left ? 0 : finish(a, err);
}

static int add_page(struct asset *a, unsigned number, struct tv_err *err)
{
	const struct tv_collect_ask *ask = &a->all->asks[a->index];
	struct tv_source_call call;
	int r = tv_source_call(ask->source, ask->symbol, ask->from, ask->to, number, &call, err);
	if (r < 0)
		return r;
	struct tv_fetch_request request = {
		.url = call.url,
		.headers = (const char *const *)call.headers,
		.confidential = call.confidential,
		.done = on_answer,
		.arg = &a->pages[number],
	};
	r = tv_fetch_add(a->all->fetch, &request, err);
	tv_source_call_free(&call);
	return r;
}

static int add_asset(struct asset *a, struct tv_err *err)
{
	const struct tv_collect_ask *ask = &a->all->asks[a->index];
	if (!tv_source_is_http(ask->source))
		return 0;
	a->n_pages = a->left = tv_source_pages(ask->source, ask->from, ask->to);
	a->pages = calloc(a->n_pages ? a->n_pages : 1, sizeof(*a->pages));
	if (!a->pages)
		return tv_err_nomem(err);
	for (unsigned i = 0; i < a->n_pages; i++) {
		a->pages[i].asset = a;
		int r = add_page(a, i, err);
		if (r < 0)
			return r;
	}
	return a->n_pages ? 0 : finish(a, err);
}

/* Of a source that is not HTTP. */
static int read_asset(struct asset *a, const struct tv_progress *progress, struct tv_err *err)
{
	const struct collection *all = a->all;
	const struct tv_collect_ask *ask = &all->asks[a->index];
	const struct tv_source_ask what = {
		.symbol = ask->symbol,
		.from = ask->from,
		.to = ask->to,
		.duck = all->duck,
		.progress = progress,
		.done = a->index,
		.total = all->n,
		.deadline_ns = all->deadline_ns,
	};
	struct tv_err why = TV_ERR_INIT;
	tv_autobars struct tv_bars rows = TV_BARS_INIT;
	tv_autobuf struct tv_buf body = TV_BUF_INIT;
	int r;
	if (all->deadline_ns && tv_boottime_ns() >= all->deadline_ns)
		r = tv_err_set(&why, -ETIMEDOUT, "%s from %s: " LATE, ask->symbol,
			       tv_source_name(ask->source));
	else
		r = tv_source_read(ask->source, &what, &rows, &body, &why);
	if (r == -TV_E_INTERRUPTED)
		return tv_err_set(err, r, "%s", why.text);
	if (r < 0)
		fail(a, r, why.text, (const char *)body.data, body.len);
	return hand_over(a, &rows, err);
}

int tv_collect(struct tv_fetch *f, struct tv_duck *duck, const struct tv_collect_ask *asks,
	       size_t n, tv_collect_done *done, void *arg, const struct tv_progress *progress,
	       struct tv_err *err)
{
	__attribute__((cleanup(collection_free_p))) struct collection all = {
		.fetch = f, .duck = duck, .asks = asks, .done = done, .arg = arg
	};
	int r = 0;
	all.assets = calloc(n ? n : 1, sizeof(*all.assets));
	if (!all.assets)
		return tv_err_nomem(err);
	all.n = n;
	if (tv_fetch_total_ns(f) > 0)
		all.deadline_ns = tv_boottime_ns() + tv_fetch_total_ns(f);
	for (size_t i = 0; i < n && r == 0; i++) {
		all.assets[i].all = &all;
		all.assets[i].index = i;
		r = add_asset(&all.assets[i], err);
	}
	r = r ?: tv_fetch_run(f, progress, err);
	for (size_t i = 0; i < n && r == 0; i++) {
		if (tv_progress_step(progress, "reading", i, n, "symbols"))
			return tv_err_set(err, -TV_E_INTERRUPTED, "fetching was stopped");
		if (!tv_source_is_http(asks[i].source))
			r = read_asset(&all.assets[i], progress, err);
	}
	return r;
}
