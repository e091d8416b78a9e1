#!/usr/bin/env bash
# Builds mkcomposefs and mount.composefs, peers of the mount bench, from the source package of the
# next distribution release, where this one has no package of them.
#
# usage: composefs.sh PREFIX WORKDIR
# exit status: 0 built, 3 no source package can be had, 1 anything else
set -euo pipefail

prefix=$1
work=$2
# shellcheck source=cmake/newer-source.sh
. "$(dirname "${BASH_SOURCE[0]}")/../../cmake/newer-source.sh"
newer_source composefs 1.0.4

say "building it (log: $work/build.log)"
{
	meson setup --prefix="$prefix" --libdir=lib --buildtype=release \
		-Dc_link_args="-Wl,-rpath,$prefix/lib" -Dman=disabled -Dfuse=disabled obj src && ninja -C obj && ninja -C obj install
} >build.log 2>&1 || { tail -n 30 build.log >&2; exit 1; }
rm -rf "$work"
say "composefs $version is ready"
