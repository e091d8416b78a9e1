#include "tools/ingest/cycle.h"

#include <fcntl.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "ingest/duck.h"
#include "store/base/cleanup.h"
#include "store/base/clock.h"
#include "store/base/io.h"
#include "tools/live.h"
#include "tools/render.h"
#include "tools/refs.h"

#define SECOND INT64_C(1000000000)
#define DAY (86400 * SECOND)
#define SPOOL "spool"

/* --- settings ---------------------------------------------------------------------------------- */

static int bad(struct tv_cycle *c, const cJSON *v, const char *what)
{
	return tv_err_set(&c->cli->err, -EINVAL, "settings: key 'ingest.%s' must be %s", v->string,
			  what);
}

static int read_duration(struct tv_cycle *c, const cJSON *v, int64_t *out)
{
	if (!cJSON_IsString(v) || tv_duration_parse(v->valuestring, out, NULL) < 0)
		return bad(c, v, "a time such as \"12h\" or \"30s\"");
	return 0;
}

static int read_count(struct tv_cycle *c, const cJSON *v, unsigned max, unsigned *out)
{
	if (!cJSON_IsNumber(v) || v->valuedouble < 1 || v->valuedouble > max ||
	    v->valuedouble != floor(v->valuedouble))
		return bad(c, v, "a whole number of at least 1, and not that large");
	*out = (unsigned)v->valuedouble;
	return 0;
}

static int read_start(struct tv_cycle *c, const cJSON *v)
{
	int64_t ns;
	if (!cJSON_IsString(v) || tv_time_parse(v->valuestring, &ns, NULL) < 0)
		return bad(c, v, "a day such as \"2015-01-01\"");
	c->start_s = ns / SECOND;
	return 0;
}

static int read_overlap(struct tv_cycle *c, const cJSON *v)
{
	int64_t ns = 0;
	int r = read_duration(c, v, &ns);
	if (r == 0)
		c->overlap_days = (unsigned)(ns / DAY);
	return r;
}

static int read_rate(struct tv_cycle *c, const cJSON *v)
{
	if (!cJSON_IsNumber(v) || !(v->valuedouble >= 0))
		return bad(c, v, "a number, 0 for no limit");
	c->limits.host_per_second = v->valuedouble;
	return 0;
}

/* What is said of one exchange. */
static int read_exchange(struct tv_cycle *c, const cJSON *exchange)
{
	static const char *const texts[] = { "timezone", "country", "description" };
	const cJSON *v;
	cJSON_ArrayForEach(v, exchange) {
		bool text = false, known = strcmp(v->string, "is_crypto") == 0;
		for (size_t i = 0; i < TV_ARRAY_LEN(texts); i++)
			text = text || strcmp(v->string, texts[i]) == 0;
		if (!known && !text)
			return tv_err_set(&c->cli->err, -EINVAL,
					  "settings: key 'ingest.exchanges.%s.%s' is not known",
					  exchange->string, v->string);
		if (text ? !cJSON_IsString(v) : !cJSON_IsBool(v))
			return tv_err_set(&c->cli->err, -EINVAL,
					  "settings: key 'ingest.exchanges.%s.%s' must be %s",
					  exchange->string, v->string,
					  text ? "a text" : "true or false");
	}
	return 0;
}

static int read_exchanges(struct tv_cycle *c, const cJSON *v)
{
	const cJSON *one;
	bool good = cJSON_IsObject(v);
	cJSON_ArrayForEach(one, v)
		good = good && cJSON_IsObject(one);
	if (!good)
		return bad(c, v, "an object { \"EXCHANGE\": { \"timezone\": … } }");
	cJSON_ArrayForEach(one, v) {
		int r = read_exchange(c, one);
		if (r < 0)
			return r;
	}
	c->exchanges = v;
	return 0;
}

static int read_member(struct tv_cycle *c, const cJSON *v)
{
	const char *name = v->string;
	if (strcmp(name, "fresh") == 0)
		return read_duration(c, v, &c->fresh_ns);
	if (strcmp(name, "start") == 0)
		return read_start(c, v);
	if (strcmp(name, "overlap") == 0)
		return read_overlap(c, v);
	if (strcmp(name, "connections") == 0)
		return read_count(c, v, 1000, &c->limits.connections);
	if (strcmp(name, "host_connections") == 0)
		return read_count(c, v, 1000, &c->limits.host_connections);
	if (strcmp(name, "host_per_second") == 0)
		return read_rate(c, v);
	if (strcmp(name, "tries") == 0)
		return read_count(c, v, 100, &c->limits.tries);
	if (strcmp(name, "request_deadline") == 0)
		return read_duration(c, v, &c->limits.request_ns);
	if (strcmp(name, "deadline") == 0)
		return read_duration(c, v, &c->limits.total_ns);
	if (strcmp(name, "exchanges") == 0)
		return read_exchanges(c, v);
	return tv_err_set(&c->cli->err, -EINVAL, "settings: key 'ingest.%s' is not known", name);
}

int tv_cycle_settings(struct tv_cycle *c)
{
	const cJSON *v;
	c->fresh_ns = 12 * 3600 * SECOND;
	c->start_s = INT64_C(1262304000); /* 2010-01-01 */
	c->overlap_days = 10;
	c->limits = TV_FETCH_LIMITS_INIT;
	cJSON_ArrayForEach(v, c->cli->settings->ingest) {
		int r = read_member(c, v);
		if (r < 0)
			return r;
	}
	const char *fresh = tv_cli_option(c->cli, "fresh"),
		   *deadline = tv_cli_option(c->cli, "deadline");
	int r = fresh ? tv_duration_parse(fresh, &c->fresh_ns, &c->cli->err) : 0;
	if (r == 0 && deadline)
		r = tv_duration_parse(deadline, &c->limits.total_ns, &c->cli->err);
	return r < 0 ? tv_cli_usage(c->cli, "%s", c->cli->err.text) : 0;
}

/* --- the lakehouse ----------------------------------------------------------------------------- */

static int open_lake(struct tv_cycle *c)
{
	struct tv_cli *cli = c->cli;
	c->folder = tv_cli_option(cli, "folder");
	const char *onto = tv_cli_option(cli, "onto");
	if (c->folder && onto)
		return tv_cli_usage(cli, "--folder and --onto exclude each other");
	int r = c->folder ? tv_settings_load(".", &cli->settings, &cli->err) : tv_cli_open(cli);
	if (r < 0)
		return r;
	if (c->folder)
		return tv_lakehouse_of_folder(c->folder, &c->lake, &cli->err);
	c->ref = onto ? onto : cli->settings->ref;
	r = onto ? tv_refs_begin(cli, onto) : 0;
	return r < 0 ? r : tv_lakehouse_of_store(cli->store, c->ref, &c->lake, &cli->err);
}

static int finish_open(struct tv_cycle *c)
{
	int r = tv_cycle_settings(c);
	return r < 0 ? r : tv_duck_open(NULL, &c->duck, &c->cli->err);
}

int tv_cycle_open(struct tv_cli *cli, struct tv_cycle *out)
{
	*out = (struct tv_cycle){ .cli = cli };
	int r = open_lake(out);
	return r < 0 ? r : finish_open(out);
}

int tv_cycle_open_rev(struct tv_cli *cli, const char *text, struct tv_cycle *out,
		      struct tv_rev *rev)
{
	*out = (struct tv_cycle){ .cli = cli };
	if (tv_cli_has(cli, "folder")) {
		int r = text ? tv_cli_usage(cli, "with --folder there is no revision")
			     : open_lake(out);
		return r < 0 ? r : finish_open(out);
	}
	int r = tv_cli_open(cli);
	if (r == 0)
		r = tv_cli_rev(cli, text, rev);
	if (r == 0)
		r = tv_lakehouse_of_commit(cli->store, &rev->commit, &out->lake, &cli->err);
	out->ref = text ? text : r == 0 ? cli->settings->ref : NULL;
	return r < 0 ? r : finish_open(out);
}

void tv_cycle_close(struct tv_cycle *cycle)
{
	tv_lakehouse_free(cycle->lake);
	tv_duck_close(cycle->duck);
}

int tv_cycle_spool(struct tv_cycle *c)
{
	struct tv_err *err = &c->cli->err;
	const char *name = c->folder ? ".tvfs-" SPOOL : SPOOL;
	tv_autoclose int folder =
		c->folder ? open(c->folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
			  : fcntl(tv_store_dirfd(c->cli->store), F_DUPFD_CLOEXEC, 0);
	if (folder < 0)
		return tv_err_sys(err, -errno, "cannot open the folder of '%s'", name);
	int r = tv_io_mkdirs(folder, name, 0700, err);
	if (r < 0)
		return r;
	int fd = openat(folder, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return fd < 0 ? tv_err_sys(err, -errno, "cannot open '%s'", name) : fd;
}

/* --- the live folder --------------------------------------------------------------------------- */

int tv_cycle_bring_live(struct tv_cycle *c, const struct tv_lakehouse_published *done)
{
	static const struct tv_sha none;
	/* Also when nothing is new: a call that was killed may have published and got no further. */
	if (c->folder || tv_sha_eq(&done->commit, &none) ||
	    strcmp(c->ref, c->cli->settings->ref) != 0)
		return 0;
	return tv_live_follow(c->cli, c->ref, &done->commit);
}

/* --- telling ----------------------------------------------------------------------------------- */

void tv_cycle_print_published(const struct tv_cycle *c, const struct tv_lakehouse_published *done)
{
	FILE *out = tv_cli_out(c->cli);
	char hex[TV_SHA_HEX];
	if (c->folder)
		return;
	tv_sha_hex(&done->foundation, hex);
	fprintf(out, "foundation %s\n", hex);
	tv_sha_hex(&done->commit, hex);
	fprintf(out, "commit     %s on %s\n", hex, c->ref);
}

void tv_cycle_add_published(const struct tv_cycle *c, const struct tv_lakehouse_published *done,
			    cJSON *doc)
{
	if (c->folder)
		return;
	cJSON_AddStringToObject(doc, "ref", c->ref);
	tv_json_sha(doc, "foundation_hash", &done->foundation);
	tv_json_sha(doc, "commit", &done->commit);
}

int tv_cycle_count_option(struct tv_cli *cli, const char *name, unsigned long *out)
{
	const char *text = tv_cli_option(cli, name);
	char *end = NULL;
	*out = text ? strtoul(text, &end, 10) : 0;
	if (text && (*end || !*text || *text == '-' || *out < 1 || *out > 1000000))
		return tv_cli_usage(cli, "--%s takes a whole number of at least 1", name);
	return 0;
}
