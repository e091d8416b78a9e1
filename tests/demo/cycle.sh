#!/usr/bin/env bash
# The data cycle, as `./dev demo` shows it: a source with planted defects, the quarantine, features and matrices, and a
# run on what was published. A wrong outcome ends it.
#
# usage: cycle.sh FOLDER LAKE: FOLDER is made anew; LAKE has the real prices.
# From ./dev: TVFS_BIN (folder of the binaries), PYTHON (with pandas).
set -euo pipefail

demo=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
project=$1 lake=$(cd "$2" && pwd)
export PATH=${TVFS_BIN:?}:$PATH
unset http_proxy HTTP_PROXY all_proxy ALL_PROXY

show() { printf '  $ %s\n' "$*"; "$@" 2>&1 | sed 's/^/    /'; }
fail() { printf 'demo: %s\n' "$*" >&2; exit 1; }
# What is refused is part of the show: the exit status is told, and must be the one that is given.
show_status() {
	local wanted=$1 status=0
	shift
	printf '  $ %s\n' "$*"
	"$@" >call.out 2>&1 || status=$?
	sed 's/^/    /' call.out
	printf '    (exit status %s)\n' $status
	[ $status = "$wanted" ] || fail "'$*' should have ended with $wanted"
}

rm -rf "$project"
mkdir -p "$project/data/lakehouse"
cd "$project"
tvfs init >/dev/null

mkfifo stdin
"$PYTHON" "$demo/price_source.py" "$lake" tvfs.json <stdin >source.out &
source=$!
exec 8>stdin
rm stdin
trap 'exec 8>&-; wait $source || true' EXIT
for _ in $(seq 200); do
	! grep -q serving source.out || break
	sleep 0.1
done
grep -q serving source.out || fail "the source of prices did not start"

printf '  (the source sends one day of GOOG times 1,570, a Saturday in FB, filled-in days in MSFT)\n'
show_status 13 tvfs ingest -q NASDAQ:AAPL BINANCE:BTCUSDT NASDAQ:GOOG NASDAQ:FB NASDAQ:MSFT
[ -e data/lakehouse/NASDAQ_AAPL_1d.parquet ] || fail "good prices were not published"
[ ! -e data/lakehouse/NASDAQ_GOOG_1d.parquet ] || fail "spoilt prices were published"
printf '  what was refused is kept as evidence, and nothing of it is in the lakehouse:\n'
show ls data/lakehouse data/lakehouse/quarantine
show_status 0 tvfs features -q
show_status 0 tvfs matrix -q --align outer
[ ! -e "$TVFS_BIN/tvfs-validate" ] || show tvfs validate -q || true
show tvfs log --oneline
printf '  a run on the new foundation, with pandas:\n'
cat >read.py <<'END'
import json
import pandas
returns = pandas.read_parquet("data/lakehouse/returns_matrix.parquet")
features = pandas.read_parquet("data/lakehouse/features_matrix.parquet")
print(f"returns: {len(returns)} days x {list(returns.columns)}")
print(features.groupby("symbol").tail(1)[["symbol", "timestamp", "rsi", "recommend_all"]].to_string(index=False))
health = json.load(open("data/lakehouse/foundation_health.json"))
print("quarantined:", *sorted(s for s, entry in health.items() if entry["status"] == "quarantined"))
END
printf '  $ tvfs run -- python read.py\n'
tvfs run -q -- "$PYTHON" read.py >run.out 2>run.err || { cat run.err >&2; fail "the run failed"; }
sed 's/^/    /' run.out
grep -q 'quarantined: NASDAQ:FB NASDAQ:GOOG NASDAQ:MSFT' run.out || fail "the run did not see the quarantine"
