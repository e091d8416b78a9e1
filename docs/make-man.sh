#!/bin/sh
# Makes a man page from docs/commands/<page>.md.
# usage: make-man.sh PAGE.md OUT.1 VERSION     (LOWDOWN names the lowdown program)
#
# A page starts with `# tvfs-commit - what it does`, or has a section NAME; its sections are level-2
# headings. What it does may also be the first paragraph after a bare `# tvfs-commit`.
set -eu

page=$1
out=$2
version=$3
name=$(basename "$page" .md)
title=$(printf '%s' "$name" | tr '[:lower:]' '[:upper:]')

# The title becomes the section NAME, unless there is one, and sections move up a level.
man_source() {
	awk -v name="$name" -v has_name="$(grep -ci '^## *name *$' "$page" || true)" '
		/^```/ { code = !code }
		code { print; next }
		NR == 1 && /^# / {
			if (has_name) next
			summary = $0
			sub(/^# *[^ ]+ */, "", summary)
			sub(/^(-+|–|—|:) */, "", summary)
			waiting = (summary == "")
			if (!waiting) print "# NAME\n\n" name " - " summary
			next
		}
		waiting && NF && !/^#/ { print "# NAME\n\n" name " - " $0; waiting = 0; next }
		/^##+ / { sub(/^#/, "") }
		/^# / { $0 = toupper($0) }
		{ print }
	' "$page"
}

mkdir -p "$(dirname "$out")"
man_source | "${LOWDOWN:-lowdown}" -s -Tman --out-no-smarty -m "title: $title" -m "section: 1" \
	-m "date: " -m "source: tvfs $version" -m "volume: tvfs" >"$out.tmp"
mv "$out.tmp" "$out"
