#include "tools/options.h"

#include <inttypes.h>
#include <stdlib.h>

#include "store/base/clock.h"

int tv_option_number(struct tv_cli *cli, const char *name, uint64_t absent, uint64_t max,
		     uint64_t *out)
{
	const char *text = tv_cli_option(cli, name);
	char *end;
	if (!text) {
		*out = absent;
		return 0;
	}
	errno = 0;
	uint64_t v = strtoull(text, &end, 10);
	if (errno || *end || *text < '0' || *text > '9' || v > max)
		return tv_cli_usage(cli, "--%s takes a whole number, not '%s'", name, text);
	*out = v;
	return 0;
}

int tv_option_duration(struct tv_cli *cli, const char *name, int64_t absent, int64_t *out)
{
	struct tv_err why = TV_ERR_INIT;
	const char *text = tv_cli_option(cli, name);
	*out = absent;
	if (text && tv_duration_parse(text, out, &why) < 0)
		return tv_cli_usage(cli, "--%s: %s", name, why.text);
	return 0;
}
