/* Catalog, health and matrices against the files' contents, and how old everything is. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ingest/catalog.h"
#include "ingest/validate-priv.h"
#include "store/base/cleanup.h"
#include "store/base/clock.h"

#define AHEAD_S 300			    /* a clock may be wrong by so much */
#define RETURNS_BEHIND_S INT64_C(7 * 86400) /* see check_matrices */

static void hours(int64_t seconds, char out[32])
{
	snprintf(out, 32, "%.1f h", (double)seconds / 3600);
}

/* --- the catalog and a file -------------------------------------------------------------------- */

static int compare_day(struct tv_validation *v, const char *symbol, const char *what,
		       const char *told, int64_t is_s, struct tv_err *err)
{
	char day[TV_DAY_TEXT];
	tv_calendar_day_text(is_s, day);
	if (!*told || strcmp(told, day) == 0)
		return 0;
	return tv_validate_tell(v, symbol, TV_CHECK_CATALOG, err, "its %s is %s, the file's is %s",
				what, told, day);
}

static int compare_hash(struct tv_validation *v, const struct tv_subject *s, const char *told,
			struct tv_err *err)
{
	char hex[TV_SHA_HEX];
	tv_sha_hex(&s->file.sha, hex);
	if (!*told || strcasecmp(told, hex) == 0)
		return 0;
	return tv_validate_tell(v, s->name, TV_CHECK_CATALOG, err,
				"its sha256 is %.12s…, the file's is %.12s…", told, hex);
}

static int compare_fetched(struct tv_validation *v, const struct tv_subject *s,
			   const struct tv_catalog_entry *e, struct tv_err *err)
{
	char day[TV_DAY_TEXT], fetched[TV_DAY_TEXT];
	const struct tv_contents *c = &s->contents;
	if (e->freshness == TV_CATALOG_UNKNOWN)
		return tv_validate_tell(v, s->name, TV_CHECK_CATALOG, err,
					"it does not say when it was fetched");
	if (e->freshness > v->how->now_s + AHEAD_S)
		return tv_validate_tell(v, s->name, TV_CHECK_CATALOG, err,
					"it says that it was fetched in the future");
	if (c->first_s > c->last_s || c->last_s <= e->freshness)
		return 0;
	tv_calendar_day_text(c->last_s, day);
	tv_calendar_day_text(e->freshness, fetched);
	return tv_validate_tell(v, s->name, TV_CHECK_BARS, err,
				"future: it has a row of %s and was fetched on %s", day, fetched);
}

static int compare_entry(struct tv_validation *v, const struct tv_subject *s,
			 const struct tv_catalog_entry *e, struct tv_err *err)
{
	const struct tv_contents *c = &s->contents;
	int r = compare_hash(v, s, e->sha256, err);
	if (r == 0 && e->rows != TV_CATALOG_UNKNOWN && c->rows && (uint64_t)e->rows != c->rows)
		r = tv_validate_tell(v, s->name, TV_CHECK_CATALOG, err,
				     "its rows are %lld, the file's are %llu", (long long)e->rows,
				     (unsigned long long)c->rows);
	if (r == 0 && c->first_s <= c->last_s) {
		r = compare_day(v, s->name, "start_date", e->start_date, c->first_s, err);
		if (r == 0)
			r = compare_day(v, s->name, "end_date", e->end_date, c->last_s, err);
	}
	return r < 0 ? r : compare_fetched(v, s, e, err);
}

/* What was refused of a symbol is not published, and the version before stands: as long as the catalog
 * still vouches for these very bytes. */
static int compare_health(struct tv_validation *v, const struct tv_subject *s, bool vouched,
			  struct tv_err *err)
{
	tv_autohealth struct tv_health_entry health = { .reason = NULL };
	int r = tv_health_get(v->tables.health, s->name, &health, err);
	if (r <= 0 || health.status != TV_HEALTH_QUARANTINED)
		return r < 0 ? r : 0;
	v->out->quarantined++;
	if (vouched)
		return 0;
	return tv_validate_tell(
		v, s->name, TV_CHECK_QUARANTINE, err,
		"it is quarantined, and the catalog does not vouch for its file%s%s",
		health.reason ? ": " : "", health.reason ? health.reason : "");
}

static int compare_asset(struct tv_validation *v, const struct tv_subject *s, bool *used,
			 struct tv_err *err)
{
	struct tv_catalog_entry e;
	struct tv_sha told;
	ptrdiff_t at = tv_symbol_map_find(v->tables.catalog, s->name);
	bool has = at >= 0 && tv_catalog_get(v->tables.catalog, s->name, &e);
	int r = 0;
	if (at >= 0)
		used[at] = true;
	if (!has)
		r = tv_validate_tell(v, s->name, TV_CHECK_CATALOG, err,
				     "the catalog has no entry of it");
	else
		r = compare_entry(v, s, &e, err);
	if (has && e.freshness != TV_CATALOG_UNKNOWN && e.freshness <= v->how->now_s + AHEAD_S) {
		if (e.freshness > v->out->newest_s)
			v->out->newest_s = e.freshness;
		v->out->old += v->how->max_age_s && v->how->now_s - e.freshness > v->how->max_age_s;
	}
	bool vouched = has && (!*e.sha256 || (tv_sha_from_hex(e.sha256, &told) &&
					      tv_sha_eq(&told, &s->file.sha)));
	return r < 0 ? r : compare_health(v, s, vouched, err);
}

static int compare_catalog(struct tv_validation *v, struct tv_err *err)
{
	const struct tv_symbol_map *catalog = v->tables.catalog;
	size_t n = tv_symbol_map_count(catalog);
	tv_autofree bool *used = calloc(n + 1, sizeof(*used));
	int r = used ? 0 : tv_err_nomem(err);
	for (size_t i = 0; i < v->n_assets && r == 0; i++)
		r = compare_asset(v, &v->subjects[i], used, err);
	for (size_t i = 0; i < n && r == 0; i++) {
		const char *name = tv_symbol_map_name(catalog, i);
		/* a member without an exchange is nobody's: docs/lakehouse_schema_registry.md */
		if (!used[i] && strchr(name, ':'))
			r = tv_validate_tell(v, name, TV_CHECK_CATALOG, err,
					     "it has an entry, and no file of bars");
	}
	return r;
}

/* --- faults ------------------------------------------------------------------------------------ */

static int tell_faults(struct tv_validation *v, const struct tv_subject *s, struct tv_err *err)
{
	int r = 0;
	for (const char *line = s->contents.faults; *line && r == 0;) {
		size_t n = strcspn(line, "\n");
		int check = *line - '0';
		if (n > 1 && check >= 0 && check < TV_CHECKS)
			r = tv_validate_tell(v, s->name, (enum tv_check)check, err, "%.*s",
					     (int)n - 1, line + 1);
		line += n + (line[n] == '\n');
	}
	return r;
}

/* --- the matrices ------------------------------------------------------------------------------ */

static const struct tv_subject *subject_of(const struct tv_validation *v, const char *path)
{
	for (size_t i = v->n_assets; i < v->n_subjects; i++)
		if (strcmp(v->subjects[i].path, path) == 0)
			return &v->subjects[i];
	return NULL;
}

/* Files of assets are in order; symbols may be in another one than their files. */
static bool has_asset(const struct tv_validation *v, const char *symbol)
{
	struct tv_lakehouse_file file;
	tv_autofree char *name = NULL;
	return tv_bars_file_name(symbol, &name, NULL) == 0 &&
	       tv_lakehouse_stat(v->lake, name, &file, NULL) == 0;
}

static int check_symbols(struct tv_validation *v, const struct tv_subject *s, struct tv_err *err)
{
	int r = 0;
	for (const char *line = s->contents.symbols; *line && r == 0;) {
		size_t n = strcspn(line, "\n");
		tv_autofree char *symbol = strndup(line, n);
		tv_autohealth struct tv_health_entry health = { .reason = NULL };
		line += n + (line[n] == '\n');
		if (!symbol)
			return tv_err_nomem(err);
		r = tv_health_get(v->tables.health, symbol, &health, err);
		if (r <= 0 || health.status != TV_HEALTH_QUARANTINED || has_asset(v, symbol)) {
			r = r < 0 ? r : 0;
			continue;
		}
		r = tv_validate_tell(v, symbol, TV_CHECK_QUARANTINE, err,
				     "it is quarantined, no good version of it is published, and "
				     "%s has it",
				     s->path);
	}
	return r;
}

static int check_behind(struct tv_validation *v, const struct tv_subject *s, int64_t last_s,
			int64_t grace_s, const char *whose, struct tv_err *err)
{
	char ends[TV_DAY_TEXT], wanted[TV_DAY_TEXT];
	if (!s || s->contents.first_s > s->contents.last_s || *s->contents.faults ||
	    s->contents.last_s >= last_s - grace_s)
		return 0;
	tv_calendar_day_text(s->contents.last_s, ends);
	tv_calendar_day_text(last_s, wanted);
	return tv_validate_tell(v, s->name, TV_CHECK_STALE, err,
				"it ends on %s, %s on %s: make it again", ends, whose, wanted);
}

/*
 * Whether the matrices were made from the bars that are there is seen from their last days, as their own
 * times do not tell: a matrix that would not change is not written again. Features have the last day of
 * every symbol. Returns end on the last day that all symbols have, at worst: some days before the first of
 * them ends, where their weeks differ.
 */
static int check_matrices(struct tv_validation *v, struct tv_err *err)
{
	const struct tv_subject *returns = subject_of(v, TV_RETURNS_FILE);
	const struct tv_subject *features = subject_of(v, TV_FEATURES_FILE);
	int64_t newest = INT64_MIN, oldest = INT64_MAX;
	int r = returns ? check_symbols(v, returns, err) : 0;
	if (r == 0 && features)
		r = check_symbols(v, features, err);
	for (size_t i = 0; i < v->n_assets; i++) {
		const struct tv_contents *c = &v->subjects[i].contents;
		if (c->first_s > c->last_s)
			continue;
		newest = c->last_s > newest ? c->last_s : newest;
		oldest = c->last_s < oldest ? c->last_s : oldest;
	}
	if (r < 0 || newest == INT64_MIN || !v->how->max_age_s)
		return r;
	r = check_behind(v, features, newest, 0, "the bars", err);
	if (r == 0)
		r = check_behind(v, returns, oldest, RETURNS_BEHIND_S,
				 "the first symbol to end does so", err);
	return r;
}

/* --- ages -------------------------------------------------------------------------------------- */

/* When a foundation without a catalog was made: the newest of the matrices. */
static int64_t newest_matrix(const struct tv_validation *v)
{
	static const char *const paths[] = { TV_RETURNS_FILE, TV_FEATURES_FILE };
	int64_t newest = TV_CATALOG_UNKNOWN;
	for (size_t i = 0; i < TV_ARRAY_LEN(paths); i++) {
		const struct tv_subject *s = subject_of(v, paths[i]);
		if (s && s->file.mtime_ns / 1000000000 > newest)
			newest = s->file.mtime_ns / 1000000000;
	}
	return newest;
}

static int check_age(struct tv_validation *v, struct tv_err *err)
{
	char old[32], limit[32];
	struct tv_validated *out = v->out;
	bool told = out->newest_s != TV_CATALOG_UNKNOWN;
	if (!told)
		out->newest_s = newest_matrix(v);
	if (!v->how->max_age_s || out->newest_s == TV_CATALOG_UNKNOWN ||
	    v->how->now_s - out->newest_s <= v->how->max_age_s)
		return 0;
	hours(v->how->now_s - out->newest_s, old);
	hours(v->how->max_age_s, limit);
	return tv_validate_tell(v, told ? TV_CATALOG_FILE : TV_RETURNS_FILE, TV_CHECK_STALE, err,
				"%s %s ago, over the allowed %s",
				told ? "anything was fetched last" : "the matrices were made", old,
				limit);
}

static int check_file(struct tv_validation *v, const char *path, int64_t max_age_s,
		      struct tv_err *err)
{
	struct tv_lakehouse_file file;
	struct tv_err why = TV_ERR_INIT;
	char old[32], limit[32];
	int r = tv_lakehouse_stat(v->lake, path, &file, &why);
	if (r == -ENOENT)
		return tv_validate_tell(v, path, TV_CHECK_MISSING, err, "it is not there");
	if (r == -EINVAL)
		return tv_validate_tell(v, path, TV_CHECK_SCHEMA, err, "it is not a file");
	if (r < 0)
		return tv_err_set(err, r, "%s", why.text);
	int64_t age = v->how->now_s - file.mtime_ns / 1000000000;
	if (!max_age_s || age <= max_age_s)
		return 0;
	hours(age, old);
	hours(max_age_s, limit);
	return tv_validate_tell(v, path, TV_CHECK_STALE, err, "it is %s old, over the allowed %s",
				old, limit);
}

static int check_files(struct tv_validation *v, struct tv_err *err)
{
	static const char *const always[] = { TV_RETURNS_FILE, TV_FEATURES_FILE, TV_CATALOG_FILE };
	int r = 0;
	for (size_t i = 0; i < TV_ARRAY_LEN(always) && r == 0; i++)
		r = check_file(v, always[i], 0, err);
	for (size_t i = 0; i < v->how->n_files && r == 0; i++)
		r = check_file(v, v->how->files[i].path, v->how->files[i].max_age_s, err);
	return r;
}

int tv_validate_compare(struct tv_validation *v, struct tv_err *err)
{
	int r = check_files(v, err);
	for (size_t i = 0; i < v->n_subjects && r == 0; i++)
		r = tell_faults(v, &v->subjects[i], err);
	struct tv_lakehouse_file file;
	if (r == 0 && tv_lakehouse_stat(v->lake, TV_CATALOG_FILE, &file, NULL) == 0)
		r = compare_catalog(v, err);
	if (r == 0)
		r = check_matrices(v, err);
	return r < 0 ? r : check_age(v, err);
}
