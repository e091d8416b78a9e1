#include "tools/run/locked.h"

#include <stdio.h>

#include "store/base/json.h"
#include "store/runrec.h"
#include "tools/run/record.h"

int tv_locked_rev(struct tv_cli *cli, const char *run_id, struct tv_rev *out)
{
	tv_autojson cJSON *record = NULL;
	const char *given = tv_cli_option(cli, "foundation");
	struct tv_rev rev = { .ref = "" };

	if (run_id) {
		int r = tv_run_id_check(run_id, false, &cli->err);
		if (r < 0)
			return r;
	}
	if (given || !run_id || tv_run_get(cli->store, run_id, &record, NULL) < 0)
		return tv_cli_rev(cli, given, out);
	if (!tv_sha_from_hex(tv_record_text(record, "commit"), &rev.commit) ||
	    !tv_sha_from_hex(tv_record_text(record, "foundation_hash"), &rev.foundation))
		return tv_err_set(&cli->err, -TV_E_DAMAGED, "the record of run '%s' has no commit",
				  run_id);
	snprintf(rev.ref, sizeof(rev.ref), "%s", tv_record_text(record, "ref"));
	*out = rev;
	return 0;
}
