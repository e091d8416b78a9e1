#!/usr/bin/env bash
# Builds libfuse >= 3.17 as a static library in a private prefix, from the source package of the
# next distribution release.
#
# usage: libfuse.sh PREFIX WORKDIR
# exit status: 0 built, 3 no newer source package can be had, 1 anything else
set -euo pipefail

prefix=$1
work=$2
# shellcheck source=cmake/newer-source.sh
. "$(dirname "${BASH_SOURCE[0]}")/newer-source.sh"
newer_source fuse3 3.17

# The prefix is compiled in as the place of fusermount3, so it is /usr; the files go to ours.
# passthrough_hp, an example in C++, is what benchmarks compare with.
options="--prefix=/usr --libdir=lib --buildtype=debugoptimized --default-library=static"
options+=" -Dutils=false -Dtests=false -Duseroot=false"
command -v c++ >/dev/null || options+=" -Dexamples=false"
grep -q enable-io-uring src/meson_options.txt && options+=" -Denable-io-uring=false"
say "building it (log: $work/build.log)"
# shellcheck disable=SC2086
{
	meson setup $options obj src && ninja -C obj && DESTDIR="$work/stage" ninja -C obj install
} >build.log 2>&1 || { tail -n 30 build.log >&2; exit 1; }

mkdir -p "$(dirname "$prefix")"
rm -rf "$prefix"
mv stage/usr "$prefix"
# shellcheck disable=SC2016
sed -i 's|^prefix=.*|prefix=${pcfiledir}/../..|' "$prefix/lib/pkgconfig/fuse3.pc"
if [ -x obj/example/passthrough_hp ]; then
	install -D obj/example/passthrough_hp "$prefix/bin/passthrough_hp"
fi
rm -rf "$work"
say "libfuse $version is ready"
