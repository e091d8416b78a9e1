#!/usr/bin/env bash
# What `./dev demo` shows: two runs read data/lakehouse literally and frozen, while a writer rewrites the
# live files in place. Everything below is real output on real prices; a wrong figure ends the demo.
#
# From ./dev: TVFS_BIN (folder of the binaries), PYTHON (with pandas), DEMO_DIR (optional).
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
legacy=$root/tests/legacy
project=${DEMO_DIR:-$root/build/demo/project}
reads=300
export PATH=${TVFS_BIN:?}:$PATH

bold() { if [ -t 1 ]; then printf '\033[1m%s\033[0m\n' "$*"; else printf '%s\n' "$*"; fi; }
step() { printf '\n'; bold "$*"; }
show() { printf '  $ %s\n' "$*" | sed "s,$PYTHON,python,; s,$legacy/,scripts/,"; "$@" 2>&1 | sed 's/^/    /'; }
fail() { printf 'demo: %s\n' "$*" >&2; exit 1; }
field() { "$PYTHON" -c 'import json,sys; print(json.load(open(sys.argv[1]))[sys.argv[2]])' "$1" "$2"; }

writer=
stop_writer() {
	[ -n "$writer" ] || return 0
	touch "$project/stop"
	wait "$writer" || true
	rm -f "$project/stop"
	writer=
}
start_writer() {
	"$PYTHON" "$legacy/live_writer.py" stop >"$project/writer.out" &
	writer=$!
	sleep 1.5
}
trap stop_writer EXIT

rm -rf "$project"
mkdir -p "$project"
cd "$project"
bold "A lakehouse of real daily prices, as the scripts know it: data/lakehouse"
"$PYTHON" "$root/tests/data/make_lakehouse.py" data/lakehouse >/dev/null
printf '  %s files, for example:\n' "$(ls data/lakehouse | wc -l)"
ls data/lakehouse | grep -E 'AAPL|GOOG|catalog|candidates' | sed 's/^/    /'

step "1. Make a store and commit the first foundation"
show tvfs init
show tvfs commit -m "first day"

step "2. The old way: a backtest reads $reads times while a data job rewrites the files in place"
start_writer
"$PYTHON" "$legacy/backtest.py" $reads none >plain.json
stop_writer
torn=$(field plain.json torn) mixed=$(field plain.json mixed)
printf '    %s reads: %s torn, %s of another day than the first\n' $reads "$torn" "$mixed"
[ "$torn" -gt 0 ] || fail "no read was torn without tvfs: the writer did not run beside the reads"

step "3. The same with tvfs: two runs side by side, the same writer behind them"
before=$(sha256sum data/lakehouse/portfolio_candidates*.json)
start_writer
show_run() { printf '  $ tvfs run --run-id %s -- python scripts/backtest.py %s %s\n' "$1" $reads "$2"; }
show_run demo-clean clean
show_run demo-rewrite rewrite
tvfs run --run-id demo-clean -- "$PYTHON" "$legacy/backtest.py" $reads clean >clean.json 2>clean.err &
first=$!
tvfs run --run-id demo-rewrite -- "$PYTHON" "$legacy/backtest.py" $reads rewrite >rewrite.json 2>rewrite.err &
second=$!
wait $first || { cat clean.err >&2; fail "the first run failed"; }
wait $second || { cat rewrite.err >&2; fail "the second run failed"; }
stop_writer
sed 's/^/    /' clean.err rewrite.err
for run in clean rewrite; do
	torn=$(field $run.json torn) mixed=$(field $run.json mixed)
	printf '    demo-%s: %s reads, %s torn, %s of another day\n' $run $reads "$torn" "$mixed"
	[ "$torn$mixed" = 00 ] || fail "a frozen run saw a torn or mixed read"
done
printf '    (the writer rewrote the NASDAQ files %s times meanwhile)\n' "$(cat writer.out)"

step "4. Each run's writes are in its own folder, the live lakehouse has none of them"
runs=artifacts/summaries/runs
[ ! -e $runs/demo-clean/data/portfolio_candidates.json ] || fail "the clean run wrote candidates"
show ls $runs/demo-clean/data $runs/demo-rewrite/data
show head -n 6 $runs/demo-rewrite/data/portfolio_candidates.json
[ "$before" = "$(sha256sum data/lakehouse/portfolio_candidates*.json)" ] || fail "a run changed the live lakehouse"
printf '    portfolio_candidates*.json in the live lakehouse: unchanged, byte for byte\n'

step "5. A data job publishes in one step, or not at all"
show tvfs run --publish main --message "daily update" -- "$PYTHON" "$legacy/daily_update.py"
show tvfs log --oneline
printf '  $ tvfs diff main~1 main\n'
tvfs diff main~1 main >diff.out
head -n 4 diff.out | sed 's/^/    /'
printf '    … %s files in all\n' "$(grep -c '^[-+~]' diff.out)"

step "6. An auditor needs nothing but coreutils"
show tvfs sync
printf '  $ cd data/lakehouse && tvfs-ls --hash main | sha256sum -c --quiet && echo "all match"\n'
(cd data/lakehouse && tvfs-ls --hash main | sha256sum -c --quiet) || fail "a hash does not match"
printf '    all match: %s files\n' "$(tvfs-ls --hash main | grep -vc '^#')"

if [ -e "$TVFS_BIN/../libexec/tvfs/tvfs-ingest-tool" ]; then
	step "7. The data cycle: prices from a source with planted defects, judged before they are published"
	bash "$root/tests/demo/cycle.sh" "$project/cycle" data/lakehouse
else
	step "7. The data cycle is not shown: this tvfs was built without DuckDB"
fi

step "Done. The project of this demo is in ${project#"$PWD/"}; look around with: tvfs log, tvfs status, tvfs ps"
! grep -q " $project/.* - fuse.tvfs " /proc/self/mountinfo || fail "a mount was left behind"
