#include <stdlib.h>

#include "ingest/source-priv.h"

void tv_rows_free(struct tv_rows *rows)
{
	if (!rows)
		return;
	free(rows->timestamp);
	free(rows->open);
	free(rows->high);
	free(rows->low);
	free(rows->close);
	free(rows->volume);
	*rows = (struct tv_rows){ 0 };
}

static bool grow(void **array, size_t cap)
{
	void *grown = reallocarray(*array, cap, sizeof(double));
	if (grown)
		*array = grown;
	return grown != NULL;
}

_Static_assert(sizeof(double) == sizeof(int64_t), "one size for all columns");

int tv_rows_add(struct tv_rows *rows, const struct tv_row *row, struct tv_err *err)
{
	if (rows->len == rows->cap) {
		size_t cap = rows->cap ? 2 * rows->cap : 256;
		if (!grow((void **)&rows->timestamp, cap) || !grow((void **)&rows->open, cap) ||
		    !grow((void **)&rows->high, cap) || !grow((void **)&rows->low, cap) ||
		    !grow((void **)&rows->close, cap) || !grow((void **)&rows->volume, cap))
			return tv_err_nomem(err);
		rows->cap = cap;
	}
	size_t i = rows->len++;
	rows->timestamp[i] = row->timestamp;
	rows->open[i] = row->open;
	rows->high[i] = row->high;
	rows->low[i] = row->low;
	rows->close[i] = row->close;
	rows->volume[i] = row->volume;
	return 0;
}

void tv_rows_clip(struct tv_rows *rows, int64_t from, int64_t to)
{
	size_t kept = 0;
	for (size_t i = 0; i < rows->len; i++) {
		int64_t t = rows->timestamp[i];
		if (t < from || (t >= to && t - to < TV_DAY))
			continue;
		rows->timestamp[kept] = t;
		rows->open[kept] = rows->open[i];
		rows->high[kept] = rows->high[i];
		rows->low[kept] = rows->low[i];
		rows->close[kept] = rows->close[i];
		rows->volume[kept] = rows->volume[i];
		kept++;
	}
	rows->len = kept;
}

static int64_t day_of(int64_t t)
{
	int64_t rest = t % TV_DAY;
	return t - (rest < 0 ? rest + TV_DAY : rest);
}

bool tv_source_span(int64_t last, int64_t start, unsigned overlap_days, int64_t now_s,
		    int64_t *from, int64_t *to)
{
	int64_t end = day_of(now_s), begin = day_of(start);
	if (last != TV_SOURCE_NEVER) {
		if (day_of(last) + TV_DAY >= end)
			return false;
		int64_t tail = day_of(last) - (int64_t)overlap_days * TV_DAY;
		begin = tail > begin ? tail : begin;
	}
	if (begin >= end)
		return false;
	*from = begin;
	*to = end;
	return true;
}
