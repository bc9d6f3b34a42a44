# Builds an image's root file system. Run in a mount namespace of its own. Arguments: a directory for a tmpfs, the directory
# of the result, the script that customizes it, the packages, and the files with the sources of packages.
set -eu
room=$1 result=$2 customize=$3 packages=$4
shift 4
mount -t tmpfs -o mode=755 tmpfs "$room"
echo "$customize" >"$room/customize.sh"
mkdir "$room/tmp"
cd "$room"
TMPDIR=$room/tmp mmdebstrap --quiet --mode=root --variant=minbase --include="$packages" \
	--dpkgopt='path-exclude=/usr/share/man/*' --dpkgopt='path-exclude=/usr/share/doc/*' \
	--dpkgopt='path-exclude=/usr/share/locale/*' \
	--customize-hook="sh $room/customize.sh \"\$1\"" \
	'' "$room/root" "$@" >&2
cp -a "$room/root" "$result/root"
