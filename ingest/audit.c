#include "ingest/audit.h"

#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>

#include "ingest/assets.h"
#include "ingest/audit-priv.h"
#include "store/base/cleanup.h"
#include "store/base/io.h"

#define THREADS_MAX 64

struct audit {
	const struct tv_audit_how *how;
	struct tv_schema *schema;
	struct tv_tables tables;
	struct tv_assets assets, before; /* of both foundations */
	struct tv_name_list active;
	bool has_catalog;
	/* All that is looked at; what there is nothing to say of goes in the end. */
	struct tv_audited *items;
	size_t n_items, cap_items;
	struct tv_audit_task *tasks; /* of the first items, one each */
	struct tv_audit_report *report;
	/* What the threads share. The lakehouses belong to who holds the lock. */
	pthread_mutex_t lock;
	size_t next;
	int code; /* of the first that failed */
	struct tv_err *err;
};

static void audit_free(struct audit *a)
{
	for (size_t i = 0; i < a->n_items; i++)
		tv_audited_free(&a->items[i]);
	free(a->items);
	for (size_t i = 0; i < a->assets.n && a->tasks; i++)
		tv_gaps_free(&a->tasks[i].permanent);
	free(a->tasks);
	tv_name_list_free(&a->active);
	tv_assets_free(&a->before);
	tv_assets_free(&a->assets);
	tv_tables_free(&a->tables);
	tv_schema_free(a->schema);
}

static int add_item(struct audit *a, const char *file, const char *symbol, struct tv_audited **out,
		    struct tv_err *err)
{
	if (!a->items || a->n_items == a->cap_items) {
		size_t cap = a->cap_items ? 2 * a->cap_items : 64;
		struct tv_audited *grown = reallocarray(a->items, cap, sizeof(*grown));
		if (!grown)
			return tv_err_nomem(err);
		a->items = grown;
		a->cap_items = cap;
	}
	struct tv_audited *item = &a->items[a->n_items++];
	*item = (struct tv_audited){ .file = strdup(file),
				     .symbol = symbol ? strdup(symbol) : NULL };
	*out = item;
	return item->file && (item->symbol || !symbol) ? 0 : tv_err_nomem(err);
}

/* --- tables ------------------------------------------------------------------------------------ */

static int bad_table(void *arg, const char *file, const struct tv_err *why, struct tv_err *err)
{
	struct audit *a = arg;
	struct tv_audited *item;
	int r = add_item(a, file, NULL, &item, err);
	return r < 0 ? r : tv_audit_add(item, TV_AUDIT_SCHEMA, NULL, err, "%s", why->text);
}

#define TABLE_MAX ((size_t)256 << 20)

/* A table that can be read may still be another than the registry says. */
static int check_table(struct audit *a, const char *name, struct tv_err *err)
{
	struct tv_err why = TV_ERR_INIT;
	struct tv_audited *item;
	tv_autobuf struct tv_buf text = TV_BUF_INIT;
	const struct tv_schema_file *schema = tv_schema_find(a->schema, name);
	tv_autoclose int fd = tv_lakehouse_open_table(a->how->lake, name, &why);
	for (size_t i = 0; i < a->n_items; i++)
		if (strcmp(a->items[i].file, name) == 0)
			return 0; /* told already */
	if (fd < 0 || !schema)
		return 0;
	a->has_catalog = a->has_catalog || strcmp(name, TV_CATALOG_FILE) == 0;
	int r = add_item(a, name, NULL, &item, err);
	if (r < 0)
		return r;
	struct tv_audit_schema_words words = { item, NULL };
	const struct tv_schema_findings findings = { tv_audit_schema_found, &words };
	const struct tv_parquet file = { a->how->duck, name, fd };
	if (schema->format == TV_SCHEMA_PARQUET)
		r = tv_schema_check(schema, &file, &findings, &why);
	else if ((r = tv_io_read_to_end(fd, TABLE_MAX, &text, &why)) == 0)
		r = tv_schema_check_json(schema, name, (const char *)text.data, text.len, &findings,
					 &why);
	if (r < 0 && !item->n)
		return tv_audit_add(item, TV_AUDIT_UNREADABLE, NULL, err, "%s", why.text);
	return 0;
}

static int load_tables(struct audit *a, struct tv_err *err)
{
	static const char *const names[] = { TV_CATALOG_FILE, TV_HEALTH_FILE, TV_SYMBOLS_FILE,
					     TV_EXCHANGES_FILE };
	int r = tv_tables_load_any(a->how->lake, a->how->duck, &a->tables, bad_table, a, err);
	for (size_t i = 0; i < TV_ARRAY_LEN(names) && r == 0; i++)
		r = check_table(a, names[i], err);
	if (r == 0)
		r = tv_symbols_active(&a->tables.symbols, &a->active, err);
	return r;
}

/* --- what is to be judged ---------------------------------------------------------------------- */

static int by_file(const void *a, const void *b)
{
	return strcmp(((const struct tv_asset *)a)->file, ((const struct tv_asset *)b)->file);
}

static bool has_file(const struct tv_assets *assets, const char *file)
{
	const struct tv_asset key = { .file = (char *)file };
	return assets->n && bsearch(&key, assets->items, assets->n, sizeof(key), by_file);
}

static int by_text(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

/* What symbols.parquet does not know counts as active. */
static bool is_active(const struct audit *a, const char *symbol)
{
	size_t first, end;
	bool active = a->active.n && bsearch(&symbol, a->active.items, a->active.n,
					     sizeof(*a->active.items), by_text);
	return active || !tv_rows_find(&a->tables.symbols, symbol, &first, &end);
}

/* Whether it is quarantined, and why. */
static int see_health(const struct audit *a, struct tv_audited *item, struct tv_err *err)
{
	tv_autohealth struct tv_health_entry health = { .reason = NULL };
	int r = tv_health_get(a->tables.health, item->symbol, &health, err);
	if (r < 0 || r == 0 || health.status != TV_HEALTH_QUARANTINED)
		return r < 0 ? r : 0;
	item->known = true;
	item->quarantine = tv_steal_ptr(&health.reason);
	return 0;
}

static int add_task(struct audit *a, size_t i, const struct tv_schema_file *schema,
		    struct tv_err *err)
{
	const struct tv_asset *asset = &a->assets.items[i];
	struct tv_audit_task *task = &a->tasks[i];
	*task = (struct tv_audit_task){
		.schema = schema,
		.has_catalog = a->has_catalog,
		.active = is_active(a, asset->symbol),
		.now_s = a->how->now_s,
		.fresh_s = a->how->fresh_s,
		.fd = -1,
		.fd_before = -1,
	};
	task->in_catalog = tv_catalog_get(a->tables.catalog, asset->symbol, &task->entry);
	int r = tv_tables_rules(&a->tables, a->how->gates, asset->symbol, &task->permanent,
				&task->rules, err);
	struct tv_audited *item;
	if (r == 0)
		r = add_item(a, asset->file, asset->symbol, &item, err);
	if (r == 0)
		r = see_health(a, item, err);
	return r;
}

static int add_tasks(struct audit *a, struct tv_err *err)
{
	size_t tables = a->n_items;
	const struct tv_schema_file *schema = tv_schema_named(a->schema, "bars");
	a->tasks = calloc(a->assets.n + 1, sizeof(*a->tasks));
	int r = a->tasks ? 0 : tv_err_nomem(err);
	for (size_t i = 0; i < a->assets.n && r == 0; i++)
		r = add_task(a, i, schema, err);
	for (size_t i = 0; i < a->assets.n && r == 0; i++)
		a->tasks[i].item = &a->items[tables + i];
	return r;
}

/* --- the threads ------------------------------------------------------------------------------- */

/* Opens what a task needs; with the lock held. */
static void prepare(struct audit *a, struct tv_audit_task *task)
{
	struct tv_lakehouse *lake = a->how->lake, *against = a->how->against;
	const char *file = task->item->file;
	struct tv_sha now, before;
	bool known = tv_lakehouse_sha(lake, file, &now, &task->why) == 0;
	if (known)
		tv_sha_hex(&now, task->sha);
	if (known && against && tv_lakehouse_sha(against, file, &before, NULL) == 0) {
		task->same = tv_sha_eq(&now, &before);
		if (!task->same)
			task->fd_before = tv_lakehouse_open(against, file, NULL);
	}
	task->fd = tv_lakehouse_open(lake, file, &task->why);
}

/* The next task, ready to be judged; NULL: there is none, or one has failed. */
static struct tv_audit_task *take(struct audit *a)
{
	struct tv_audit_task *task = NULL;
	pthread_mutex_lock(&a->lock);
	if (a->code == 0 && a->next < a->assets.n) {
		if (tv_progress_step(a->how->progress, "judging", a->next, a->assets.n, "assets"))
			a->code = tv_err_set(a->err, -TV_E_INTERRUPTED, "stopped");
		else
			task = &a->tasks[a->next++];
	}
	if (task)
		prepare(a, task);
	pthread_mutex_unlock(&a->lock);
	return task;
}

static void fail(struct audit *a, int code, const struct tv_err *why)
{
	pthread_mutex_lock(&a->lock);
	if (a->code == 0)
		a->code = tv_err_set(a->err, code, "%s", why->text);
	pthread_mutex_unlock(&a->lock);
}

static void *work(void *arg)
{
	struct audit *a = arg;
	struct tv_err why = TV_ERR_INIT;
	struct tv_duck *duck = NULL;
	struct tv_audit_task *task;
	int r = tv_duck_open(NULL, &duck, &why);
	while (r == 0 && (task = take(a))) {
		r = tv_audit_asset(task, duck, &why);
		tv_close_p(&task->fd);
		tv_close_p(&task->fd_before);
	}
	if (r < 0)
		fail(a, r, &why);
	tv_duck_close(duck);
	return NULL;
}

static unsigned processors(void)
{
#ifdef TV_SINGLE_THREAD
	return 1;
#else
	cpu_set_t cpus;
	return sched_getaffinity(0, sizeof(cpus), &cpus) < 0 ? 1 : (unsigned)CPU_COUNT(&cpus);
#endif
}

static int judge_all(struct audit *a, struct tv_err *err)
{
	pthread_t threads[THREADS_MAX];
	unsigned want = a->how->threads ? a->how->threads : processors(), started = 0;
	a->err = err;
	pthread_mutex_init(&a->lock, NULL);
	want = want > THREADS_MAX ? THREADS_MAX : want;
	want = want > a->assets.n ? (unsigned)a->assets.n : want;
	while (started + 1 < want && pthread_create(&threads[started], NULL, work, a) == 0)
		started++;
	if (want)
		work(a);
	for (unsigned i = 0; i < started; i++)
		pthread_join(threads[i], NULL);
	pthread_mutex_destroy(&a->lock);
	return a->code;
}

/* --- what is not there ------------------------------------------------------------------------- */

static int add_gone(struct audit *a, struct tv_err *err)
{
	int r = 0;
	for (size_t i = 0; i < a->before.n && r == 0; i++) {
		const struct tv_asset *asset = &a->before.items[i];
		struct tv_audited *item;
		if (has_file(&a->assets, asset->file))
			continue;
		r = add_item(a, asset->file, asset->symbol, &item, err);
		if (r == 0)
			r = see_health(a, item, err);
		if (r == 0)
			r = tv_audit_add(item, TV_AUDIT_SHRUNK, NULL, err,
					 "the file was there, and is gone");
	}
	return r;
}

static int add_missing(struct audit *a, struct tv_err *err)
{
	int r = 0;
	for (size_t i = 0; i < tv_symbol_map_count(a->tables.catalog) && r == 0; i++) {
		const char *symbol = tv_symbol_map_name(a->tables.catalog, i);
		tv_autofree char *file = NULL;
		struct tv_audited *item;
		if (!strchr(symbol, ':') || tv_bars_file_name(symbol, &file, NULL) < 0 ||
		    has_file(&a->assets, file) || has_file(&a->before, file))
			continue;
		r = add_item(a, file, symbol, &item, err);
		if (r == 0)
			r = see_health(a, item, err);
		if (r == 0)
			r = tv_audit_add(item, TV_AUDIT_CATALOG, NULL, err,
					 "the catalog has it, and there is no such file");
	}
	return r;
}

/* What was quarantined before anything of it was published. */
static int add_quarantined(struct audit *a, struct tv_err *err)
{
	int r = 0;
	for (size_t i = 0; i < tv_symbol_map_count(a->tables.health) && r == 0; i++) {
		const char *symbol = tv_symbol_map_name(a->tables.health, i);
		tv_autofree char *file = NULL;
		struct tv_audited *item;
		if (!strchr(symbol, ':') || tv_bars_file_name(symbol, &file, NULL) < 0 ||
		    has_file(&a->assets, file) || has_file(&a->before, file) ||
		    tv_symbol_map_find(a->tables.catalog, symbol) >= 0)
			continue;
		r = add_item(a, file, symbol, &item, err);
		if (r == 0)
			r = see_health(a, item, err);
	}
	return r;
}

/* --- from start to end ------------------------------------------------------------------------- */

static int by_name(const void *a, const void *b)
{
	return strcmp(((const struct tv_audited *)a)->file, ((const struct tv_audited *)b)->file);
}

/* Counts, and hands over the items of which there is something to say. */
static void conclude(struct audit *a, struct tv_audit_report *out)
{
	out->assets = a->assets.n;
	for (size_t i = 0; i < a->assets.n; i++)
		out->same += a->tasks[i].same;
	for (size_t i = 0; i < a->n_items; i++) {
		struct tv_audited *item = &a->items[i];
		out->compared += item->compared;
		out->quarantined += item->known;
		out->found += item->n && !item->known;
		for (size_t k = 0; k < item->n && !item->known; k++)
			out->times[item->findings[k].kind]++;
		for (size_t g = 0; g < TV_GATES; g++)
			out->recorded[g] += item->recorded[g];
		if (item->n || item->known) {
			struct tv_audited kept = *item;
			*item = (struct tv_audited){ .file = NULL };
			a->items[out->n++] = kept;
		} else {
			tv_audited_free(item);
		}
	}
	out->items = tv_steal_ptr(&a->items);
	a->n_items = 0;
	if (out->n)
		qsort(out->items, out->n, sizeof(*out->items), by_name);
}

int tv_audit(const struct tv_audit_how *how, struct tv_audit_report *out, struct tv_err *err)
{
	tv_auto(audit_free) struct audit a = { .how = how,
					       .tables = TV_TABLES_INIT,
					       .active = TV_NAME_LIST_INIT };
	int r = tv_schema_parse(tv_schema_text(), &a.schema, err);
	if (r == 0)
		r = load_tables(&a, err);
	if (r == 0)
		r = tv_assets_load(how->lake, how->duck, &a.tables, &a.assets, err);
	if (r == 0 && how->against)
		r = tv_assets_load(how->against, how->duck, &a.tables, &a.before, err);
	if (r == 0)
		r = add_tasks(&a, err);
	if (r == 0)
		r = judge_all(&a, err);
	if (r == 0)
		r = add_gone(&a, err);
	if (r == 0)
		r = add_missing(&a, err);
	if (r == 0)
		r = add_quarantined(&a, err);
	if (r == 0)
		conclude(&a, out);
	return r;
}
