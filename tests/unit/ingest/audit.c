/* An audit with any number of threads, interrupted, and of what is not there. */
#include <fcntl.h>

#include "ingest/audit.h"
#include "ingest/bars-parquet.h"
#include "tests/unit/support.h"

#define ASSETS 300
#define DAY TV_DAY_SECONDS
#define NOW (INT64_C(20000) * DAY) /* a Friday, 2024-10-04 */

static void folder_of(const struct fixture *f, char out[96])
{
	snprintf(out, 96, "%s/lake", f->dir);
	mkdir(out, 0755);
}

/* Rows of all days up to NOW; each third asset has a spike, each fifth ends early. */
static void fill(struct tv_bars *b, size_t asset)
{
	struct tv_err err = TV_ERR_INIT;
	size_t rows = asset % 5 ? 30 : 20;
	for (size_t i = 0; i < rows; i++) {
		double close = 100 + (double)((i * 7 + asset) % 11);
		if (asset % 3 == 0 && i == 12)
			close *= 40;
		struct tv_bar bar = {
			NOW - (int64_t)(30 - i) * DAY, close, close, close, close, 1000 + (double)i
		};
		ok(tv_bars_add(b, &bar, &err));
	}
}

static void write_assets(const char *folder, struct tv_duck *duck)
{
	struct tv_err err = TV_ERR_INIT;
	for (size_t i = 0; i < ASSETS; i++) {
		tv_autobars struct tv_bars b = TV_BARS_INIT;
		char path[160];
		snprintf(path, sizeof(path), "%s/BINANCE_S%03zu_1d.parquet", folder, i);
		tv_autoclose int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0644);
		fill(&b, i);
		is(fd >= 0);
		if (i % 7 == 6)
			is(write(fd, "PAR1", 4) == 4);
		else
			ok(tv_bars_write(duck, &b, fd, &err));
	}
}

static char *told(const struct tv_audit_report *report)
{
	const struct tv_audit_about about = { .folder = "lake", .when = "now" };
	cJSON *doc = tv_audit_json(report, &about);
	char *text = cJSON_PrintUnformatted(doc);
	cJSON_Delete(doc);
	is(text != NULL);
	return text;
}

struct opened {
	struct tv_lakehouse *lake;
	struct tv_duck *duck;
};

static struct opened opened(struct fixture *f, bool write)
{
	struct tv_err err = TV_ERR_INIT;
	struct opened o = { NULL, NULL };
	char folder[96];
	folder_of(f, folder);
	ok(tv_duck_open(NULL, &o.duck, &err));
	if (write)
		write_assets(folder, o.duck);
	ok(tv_lakehouse_of_folder(folder, &o.lake, &err));
	return o;
}

static void closed(struct opened *o)
{
	tv_lakehouse_free(o->lake);
	tv_duck_close(o->duck);
}

static void any_number_of_threads(void **state)
{
	struct opened o = opened(*state, true);
	struct tv_err err = TV_ERR_INIT;
	const unsigned threads[] = { 1, 8 };
	tv_autofree char *first = NULL;
	for (size_t i = 0; i < TV_ARRAY_LEN(threads); i++) {
		tv_auto_audit_report struct tv_audit_report report = TV_AUDIT_REPORT_INIT;
		const struct tv_audit_how how = {
			.lake = o.lake, .duck = o.duck, .now_s = NOW, .threads = threads[i]
		};
		ok(tv_audit(&how, &report, &err));
		tv_autofree char *text = told(&report);
		is(report.assets == ASSETS && report.times[TV_AUDIT_UNREADABLE] == ASSETS / 7);
		is(report.times[TV_GATE_TOXICITY] == 86 && report.times[TV_GATE_STALE] == 52);
		if (!first)
			first = tv_steal_ptr(&text);
		else
			assert_string_equal(text, first);
	}
	closed(&o);
}

static int stop_soon(void *arg, const char *phase, uint64_t done, uint64_t total, const char *unit)
{
	size_t *times = arg;
	(void)phase;
	(void)unit;
	is(total == ASSETS && done < total);
	return ++*times == 40;
}

static void interrupted(void **state)
{
	struct opened o = opened(*state, true);
	struct tv_err err = TV_ERR_INIT;
	size_t times = 0;
	const struct tv_progress progress = { stop_soon, &times };
	struct tv_audit_report report = TV_AUDIT_REPORT_INIT;
	const struct tv_audit_how how = {
		.lake = o.lake, .duck = o.duck, .now_s = NOW, .threads = 4, .progress = &progress
	};
	is(tv_audit(&how, &report, &err) == -TV_E_INTERRUPTED);
	is(times == 40 && !report.items);
	closed(&o);
}

static void nothing_there(void **state)
{
	struct opened o = opened(*state, false);
	struct tv_err err = TV_ERR_INIT;
	tv_auto_audit_report struct tv_audit_report report = TV_AUDIT_REPORT_INIT;
	const struct tv_audit_how how = {
		.lake = o.lake, .against = o.lake, .duck = o.duck, .now_s = NOW, .threads = 2
	};
	ok(tv_audit(&how, &report, &err));
	is(!report.assets && !report.n && !report.found);
	closed(&o);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		store_test(any_number_of_threads),
		store_test(interrupted),
		store_test(nothing_there),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
