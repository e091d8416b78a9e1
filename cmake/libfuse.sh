#!/usr/bin/env bash
# Builds libfuse >= 3.17 as a static library in a private prefix, from the source package of the
# next distribution release. The machine's own apt configuration is read, never changed.
#
# usage: libfuse.sh PREFIX WORKDIR
# exit status: 0 built, 3 no newer source package can be had, 1 anything else
set -euo pipefail

prefix=$1
work=$2
need=3.17
. /etc/os-release

say() { printf '   %s\n' "$*"; }

# Suites to look in, the nearest first.
case $ID in
debian) suites="trixie forky sid" keyring=/usr/share/keyrings/debian-archive-keyring.gpg ;;
ubuntu) suites="plucky questing resolute devel" keyring=/usr/share/keyrings/ubuntu-archive-keyring.gpg ;;
*) exit 3 ;;
esac

# Where this machine gets its release from: apt itself knows, whatever form its sources have.
repo_uri() {
	# shellcheck disable=SC2016
	apt-get indextargets --format '$(REPO_URI)|$(CODENAME)|$(COMPONENT)' 'Created-By: Packages' |
		awk -F'|' -v release="$VERSION_CODENAME" '$2 == release && $3 == "main" { print $1; exit }'
}

private_apt() {
	local tool=$1
	shift
	"$tool" -o Dir::Etc::sourcelist="$work/newer.sources" -o Dir::Etc::sourceparts=- \
		-o Dir::State::lists="$work/lists" -o Dir::Cache="$work/cache" \
		-o APT::Sandbox::User="$(id -un)" "$@"
}

# The version of fuse3's source package in a suite, or nothing.
offered() {
	printf 'Types: deb-src\nURIs: %s\nSuites: %s\nComponents: main\n' "$uri" "$1" >"$work/newer.sources"
	[ ! -e "$keyring" ] || printf 'Signed-By: %s\n' "$keyring" >>"$work/newer.sources"
	rm -rf "$work/lists"
	mkdir -p "$work/lists/partial" "$work/cache/archives/partial"
	private_apt apt-get -qq update >"$work/update.log" 2>&1 || return 0
	private_apt apt-cache showsrc --only-source fuse3 2>/dev/null |
		sed -n 's/^Version: //p' | sort -V | tail -n 1
}

rm -rf "$work"
mkdir -p "$work"
cd "$work"
uri=$(repo_uri)
[ -n "$uri" ] || { say "apt names no source for $VERSION_CODENAME"; exit 3; }

version=
for suite in $suites; do
	say "looking for the source package fuse3 in $suite"
	version=$(offered "$suite")
	[ -z "$version" ] || ! dpkg --compare-versions "$version" ge "$need" || break
	version=
done
[ -n "$version" ] || exit 3

say "fetching the source of fuse3 $version ($suite)"
private_apt apt-get -qq source --download-only "fuse3=$version" >fetch.log 2>&1 ||
	{ cat fetch.log >&2; exit 1; }
dpkg-source --no-check -x fuse3_*.dsc src >unpack.log 2>&1 || { cat unpack.log >&2; exit 1; }

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
