#!/usr/bin/env bash
# Fetches libduckdb.so and duckdb.h into a private prefix, from npm's packages: the library is the one
# for Node.js, the header stands in the source that the older package carries. Both are of one version
# of DuckDB, and both are checked against the digests below.
#
# usage: duckdb.sh PREFIX WORKDIR
# exit status: 0 fetched, 3 there is none for this processor, 1 anything else
set -euo pipefail

prefix=$(realpath -m "$1")
work=$(realpath -m "$2")
version=1.4.4
header_sha=5bb967dcbcd517670ba5f169f238fb9d6787e53752c60ebe24386169d76941ed
case $(uname -m) in
x86_64)
	library=@duckdb/node-bindings-linux-x64@$version-r.4
	library_sha=732fac4dc6b8f198870b9c4bb6ddf13544466daca00ad28ba2f1d80de5d7aa4b
	;;
aarch64)
	library=@duckdb/node-bindings-linux-arm64@$version-r.3
	library_sha=7a3b62c524849af848b2d4e278bad56324e20f5e8b1d3fe3acd324ead28e1e0c
	;;
*) exit 3 ;;
esac

# unpack PACKAGE SHA256 FILE...: packages run nothing when they are only packed.
unpack() {
	local package=$1 sha=$2
	shift 2
	rm -rf tarball
	mkdir tarball
	npm pack --ignore-scripts --silent --pack-destination tarball "$package" >>npm.log 2>&1 || {
		cat npm.log >&2
		return 1
	}
	printf '%s  %s\n' "$sha" tarball/*.tgz | sha256sum --check --quiet -
	tar -xzf tarball/*.tgz "$@"
}

rm -rf "$work"
mkdir -p "$work"
cd "$work"
unpack "$library" "$library_sha" package/libduckdb.so package/LICENSE
unpack "duckdb@$version" "$header_sha" package/src/duckdb/src/include/duckdb.h
install -D -m 644 package/libduckdb.so stage/lib/libduckdb.so
install -D -m 644 package/LICENSE stage/LICENSE
install -D -m 644 package/src/duckdb/src/include/duckdb.h stage/include/duckdb.h
printf '%s\n' $version >stage/version
mkdir -p "$(dirname "$prefix")"
rm -rf "$prefix"
mv stage "$prefix"
cd /
rm -rf "$work"
