/* The defaults, as the text that `tvfs init` writes. What a tvfs.json leaves out has these values. */
#include <string.h>

#include "tools/settings.h"

static const char text[] =
	"{\n"
	"  \"lakehouse\": \"data/lakehouse\",\n"
	"  \"runs\": \"artifacts/summaries/runs\",\n"
	"  \"ref\": \"main\",\n"
	"  \"engine_version\": \"\",\n"
	"  \"writers_group\": \"\",\n"
	"  \"default_profile\": \"production\",\n"
	"  \"settle\": \"0.2s\",\n"
	"  \"ignore\": [\"*.lock\", \"*.tmp\", \"*.bak\", \"*.bak_*\", \".bak_*\", \".~*\"],\n"
	"  \"inputs\": [\"export\", \"data/export\"],\n"
	"  \"redirects\": {\n"
	"    \"data/logs\": \"logs\"\n"
	"  },\n"
	"  \"routes\": {\n"
	"    \"portfolio_candidates.json\": { \"env\": \"CANDIDATES_SELECTED\" },\n"
	"    \"portfolio_candidates_raw.json\": { \"env\": \"CANDIDATES_RAW\" },\n"
	"    \"selection_audit.json\": { \"env\": \"SELECTION_AUDIT\" },\n"
	"    \"portfolio_returns.pkl\": { \"env\": \"PORTFOLIO_RETURNS_PATH\" },\n"
	"    \"portfolio_meta.json\": { \"env\": \"PORTFOLIO_META_PATH\" },\n"
	"    \"portfolio_clusters.json\": { \"env\": \"CLUSTERS_FILE\" },\n"
	"    \"portfolio_optimized.json\": { \"env\": \"OPTIMIZED_FILE\" },\n"
	"    \"portfolio_optimized_v2.json\": {}\n"
	"  },\n"
	"  \"profiles\": {\n"
	"    \"production\": {\n"
	"      \"strict_isolation\": true,\n"
	"      \"routes\": true,\n"
	"      \"network\": false,\n"
	"      \"lakehouse_writes\": \"overlay\",\n"
	"      \"inputs_writable\": false,\n"
	"      \"max_age\": \"24h\",\n"
	"      \"gates\": []\n"
	"    },\n"
	"    \"development\": {\n"
	"      \"strict_isolation\": false,\n"
	"      \"routes\": true,\n"
	"      \"network\": true,\n"
	"      \"lakehouse_writes\": \"overlay\",\n"
	"      \"inputs_writable\": false,\n"
	"      \"max_age\": \"0s\",\n"
	"      \"gates\": []\n"
	"    },\n"
	"    \"data\": {\n"
	"      \"strict_isolation\": true,\n"
	"      \"routes\": false,\n"
	"      \"network\": true,\n"
	"      \"lakehouse_writes\": \"overlay\",\n"
	"      \"inputs_writable\": true,\n"
	"      \"max_age\": \"0s\",\n"
	"      \"gates\": []\n"
	"    }\n"
	"  }\n"
	"}\n";

int tv_settings_default_text(char **out, struct tv_err *err)
{
	char *copy = strdup(text);
	if (!copy)
		return tv_err_nomem(err);
	*out = copy;
	return 0;
}
