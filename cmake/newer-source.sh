# Fetches the source package of a newer distribution release. The machine's own apt configuration is
# read, never changed. To be sourced, with $work set to a folder of the caller's own.

say() { printf '   %s\n' "$*"; }

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

# offered PACKAGE SUITE: the version of its source package there, or nothing.
offered() {
	printf 'Types: deb-src\nURIs: %s\nSuites: %s\nComponents: main\n' "$uri" "$2" >"$work/newer.sources"
	[ ! -e "$keyring" ] || printf 'Signed-By: %s\n' "$keyring" >>"$work/newer.sources"
	rm -rf "$work/lists"
	mkdir -p "$work/lists/partial" "$work/cache/archives/partial"
	private_apt apt-get -qq update >"$work/update.log" 2>&1 || return 0
	private_apt apt-cache showsrc --only-source "$1" 2>/dev/null |
		sed -n 's/^Version: //p' | sort -V | tail -n 1
}

# newer_source PACKAGE VERSION: its source, at least that new, in $work/src; sets $version. Exits with 3
# when there is none, with 1 when it cannot be fetched. $work is made anew and becomes the current folder.
newer_source() {
	local suite suites keyring uri
	# shellcheck disable=SC1091
	. /etc/os-release
	# The nearest first.
	case $ID in
	debian) suites="trixie forky sid" keyring=/usr/share/keyrings/debian-archive-keyring.gpg ;;
	ubuntu) suites="plucky questing resolute devel" keyring=/usr/share/keyrings/ubuntu-archive-keyring.gpg ;;
	*) exit 3 ;;
	esac
	rm -rf "$work"
	mkdir -p "$work"
	cd "$work"
	uri=$(repo_uri)
	[ -n "$uri" ] || { say "apt names no source for $VERSION_CODENAME"; exit 3; }
	version=
	for suite in $suites; do
		say "looking for the source package $1 in $suite"
		version=$(offered "$1" "$suite")
		[ -z "$version" ] || ! dpkg --compare-versions "$version" ge "$2" || break
		version=
	done
	[ -n "$version" ] || exit 3
	say "fetching the source of $1 $version ($suite)"
	private_apt apt-get -qq source --download-only "$1=$version" >fetch.log 2>&1 ||
		{ cat fetch.log >&2; exit 1; }
	dpkg-source --no-check -x "$1"_*.dsc src >unpack.log 2>&1 || { cat unpack.log >&2; exit 1; }
}
