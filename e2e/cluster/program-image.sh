#!/usr/bin/env bash
# program-image.sh PROGRAM TAG OUT.tar: the image of buildbot-status. PROGRAM is static, or comes with the libraries
# that it is linked to; the image also holds the machine's CA certificates, and nothing else: no shell. It runs as
# user 65532.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
program=$1 tag=$2 out=$3
w=$(mktemp -d); trap 'rm -rf "$w"' EXIT
objcopy --strip-all "$program" "$w/buildbot-status" # a debug build is ten times as large with its symbols
files=("$w/buildbot-status=/usr/bin/buildbot-status")
while read -r l; do files+=("$l=$l"); done < <(ldd "$program" 2>/dev/null | grep -o '/[^ ]*' || true)
ca=/etc/ssl/certs/ca-certificates.crt
[ -e $ca ] || { echo "program-image.sh: $ca is not there; install ca-certificates" >&2; exit 1; }
"$here/mkimage.sh" -u 65532 "$tag" "$out" /usr/bin/buildbot-status "${files[@]}" "$ca=$ca"
