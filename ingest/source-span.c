#include "ingest/source-priv.h"

static int64_t day_of(int64_t t)
{
	int64_t rest = t % TV_DAY_SECONDS;
	return t - (rest < 0 ? rest + TV_DAY_SECONDS : rest);
}

bool tv_source_span(int64_t last, int64_t start, unsigned overlap_days, int64_t now_s,
		    int64_t *from, int64_t *to)
{
	int64_t end = day_of(now_s), begin = day_of(start);
	if (last != TV_SOURCE_NEVER) {
		if (day_of(last) + TV_DAY_SECONDS >= end)
			return false;
		int64_t tail = day_of(last) - (int64_t)overlap_days * TV_DAY_SECONDS;
		begin = tail > begin ? tail : begin;
	}
	if (begin >= end)
		return false;
	*from = begin;
	*to = end;
	return true;
}
