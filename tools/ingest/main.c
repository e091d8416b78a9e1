/* tvfs-ingest-tool: the commands that need DuckDB. tvfs starts it with its own words. */
#include "tools/ingest/commands.h"

int main(int argc, char **argv)
{
	static const struct tv_handler handlers[] = {
		{ "audit", tv_cmd_audit },
		{ "features", tv_cmd_features },
		{ "ingest", tv_cmd_ingest },
		{ "matrix", tv_cmd_matrix },
		{ "repair", tv_cmd_repair },
		{ "schema", tv_cmd_schema },
		{ "select", tv_cmd_select },
		{ "validate", tv_cmd_validate },
		{ NULL, NULL },
	};
	return tv_cli_main_with(handlers, argc, argv);
}
