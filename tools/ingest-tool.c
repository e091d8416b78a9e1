/* Commands that need DuckDB are another program, so that mounts and runs never load it. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "store/base/cleanup.h"
#include "tools/cli.h"

/* Beside the folder that this program is in, in the build tree as when installed. */
static int find_tool(char **out, struct tv_err *err)
{
	tv_autofree char *own = realpath("/proc/self/exe", NULL);
	char *slash = own ? strrchr(own, '/') : NULL;
	if (!slash)
		return tv_err_sys(err, own ? -ENOENT : -errno, "cannot find this program's folder");
	*slash = '\0';
	return asprintf(out, "%s/" TVFS_FROM_BIN_TO_LIBEXEC "/tvfs-ingest-tool", own) < 0
		       ? tv_err_nomem(err)
		       : 0;
}

int tv_cli_ingest_tool(struct tv_cli *cli)
{
	tv_autofree char *tool = NULL;
	int r = find_tool(&tool, &cli->err);
	if (r < 0)
		return r;
	execv(tool, cli->argv);
	if (errno == ENOENT)
		return tv_err_set(&cli->err, -ENOSYS,
				  "this tvfs was built without DuckDB ('%s' is not there)", tool);
	return tv_err_sys(&cli->err, -errno, "cannot start '%s'", tool);
}
