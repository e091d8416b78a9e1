/* Commands that need DuckDB are another program, so that mounts and runs never load it. */
#include <unistd.h>

#include "store/base/cleanup.h"
#include "tools/cli.h"
#include "tools/installed.h"

int tv_cli_ingest_tool(struct tv_cli *cli)
{
	tv_autofree char *tool = NULL;
	int r = tv_installed_path(TVFS_FROM_BIN_TO_LIBEXEC "/tvfs-ingest-tool", &tool, &cli->err);
	if (r < 0)
		return r;
	execv(tool, cli->argv);
	if (errno == ENOENT)
		return tv_err_set(&cli->err, -ENOSYS,
				  "this tvfs was built without DuckDB ('%s' is not there)", tool);
	return tv_err_sys(&cli->err, -errno, "cannot start '%s'", tool);
}
