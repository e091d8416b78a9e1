/* Hostile answers of sources. The input's first byte chooses the source, the rest is the body. */
#include <stdlib.h>
#include <string.h>

#include "ingest/source.h"
#include "store/base/cleanup.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char *const settings[] = {
	"{\"kind\": \"binance\"}",
	"{\"kind\": \"coinbase\"}",
	"{\"kind\": \"kraken\"}",
	"{\"kind\": \"yahoo\"}",
	"{\"kind\": \"stooq\"}",
	"{\"kind\": \"json\", \"url\": \"http://h/\", \"rows\": \"d.0.rows\","
	" \"columns\": {\"open\": \"o.1\"}}",
	"{\"kind\": \"json\", \"url\": \"http://h/\", \"layout\": \"columns\","
	" \"columns\": {\"volume\": null}}",
	"{\"kind\": \"csv\", \"url\": \"http://h/\", \"delimiter\": \";\", \"time\": \"date\"}",
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	tv_auto(tv_source_free_p) struct tv_source *source = NULL;
	tv_autobars struct tv_bars rows = TV_BARS_INIT;
	tv_autojson cJSON *doc = NULL;
	struct tv_err err = TV_ERR_INIT;
	if (size < 1)
		return 0;
	const char *text = settings[data[0] % TV_ARRAY_LEN(settings)];
	if (tv_json_parse(text, strlen(text), &doc, NULL) < 0 ||
	    tv_source_new("F", doc, NULL, &source, NULL) < 0)
		abort();
	/* a copy exactly as long as the body, so that a sanitizer sees a read past its end */
	tv_autofree char *body = size > 1 ? malloc(size - 1) : NULL;
	if (body)
		memcpy(body, data + 1, size - 1);
	int r = tv_source_parse(source, "XBTUSD", 0, body, size - 1, &rows, &err);
	if (r < 0 && (rows.n || !*err.text))
		abort();
	return 0;
}
