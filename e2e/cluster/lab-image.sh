#!/usr/bin/env bash
# lab-image.sh PYTHON TAG OUT.tar: the image of the tests' peers: a Buildbot master with its workers
# (e2e/buildbot/lab.py), the SMTP server and the receiver of pushes (e2e/peers). PYTHON is the interpreter of a virtual
# environment with e2e/buildbot/requirements.txt. The image holds it, its libraries, git and busybox. It is made again only
# when one of these files changed.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
python=$1 tag=$2 out=$3
venv=$(dirname "$(dirname "$python")")
key=$(cat "$0" "$here/mkimage.sh" "$here"/../buildbot/* "$here"/../peers/*.py <(echo "$python"; "$python" -VV) | sha256sum)
if [ -e "$out" ] && [ "$(cat "$out.key" 2>/dev/null)" = "$key" ]; then exit; fi
w=$(mktemp -d); trap 'rm -rf "$w"' EXIT
# Its own prefix: an interpreter is found to be in use by tests from any place, /root too.
mapfile -t of < <("$python" -c '
import sys, sysconfig, os
print("python%d.%d" % sys.version_info[:2])
print(os.path.realpath(sys.executable))
for name in ("stdlib", "purelib"): print(sysconfig.get_path(name))
print(sysconfig.get_config_var("DESTSHARED"))')
version=${of[0]} lib=$w/python/lib/${of[0]}
mkdir -p "$w/python/bin" "$lib"
cp "${of[1]}" "$w/python/bin/python"
(cd "${of[2]}" && tar -cf - --exclude=__pycache__ --exclude=./site-packages --exclude=./dist-packages --exclude=./test \
  --exclude=./idlelib --exclude=./tkinter --exclude=./ensurepip --exclude='./config-*' --exclude=./turtledemo --exclude='*/tests' .) | tar -C "$lib" -xf -
if [ ! -d "$lib/lib-dynload" ]; then cp -R "${of[4]}" "$lib/lib-dynload"; fi
# Tests of libraries are half of their size. twisted.plugins keeps a list beside it, which must stay writable or be there.
mkdir -p "$lib/site-packages"
(cd "${of[3]}" && tar -cf - --exclude=__pycache__ --exclude='*/test' --exclude='*/tests' --exclude=./pip --exclude='./pip-*' \
  --exclude=./setuptools .) | tar -C "$lib/site-packages" -xf -
for name in buildbot buildbot-worker twistd; do
  { echo '#!/opt/python/bin/python'; tail -n +2 "$venv/bin/$name"; } >"$w/python/bin/$name"; chmod 755 "$w/python/bin/$name"
done
# Compiled once here, not at each start; the image's files have no times that could be compared.
"$python" -m compileall -q -j 0 --invalidation-mode unchecked-hash -s "$w/python" -p /opt/python "$lib" >/dev/null || true
mkdir -p "$w/lab"
cp "$here"/../buildbot/*.py "$here"/../buildbot/master.cfg "$here"/../peers/*.py "$w/lab"
git=$(command -v git) busybox=$(command -v busybox)
files=("$w/python=/opt/python" "$w/lab=/lab" "$git=/usr/bin/git" "$git=/usr/bin/git-upload-pack" "$git=/usr/bin/git-receive-pack")
for name in busybox sh ls cat ps kill sleep; do files+=("$busybox=/bin/$name"); done
while read -r l; do files+=("$l=$l"); done < <({ find "$w/python" -name '*.so' -print0 | xargs -0 ldd; ldd "$git" "${of[1]}"; } 2>/dev/null |
  grep -o '=> /[^ ]*\|^\s/lib[^ ]*' | grep -o '/.*' | grep -v "^$w" | sort -u)
"$here/mkimage.sh" -u 65532 -w /tmp -e HOME=/tmp -e "PATH=/opt/python/bin:/usr/bin:/bin" -e PYTHONHOME=/opt/python \
  -e "PYTHONPATH=/opt/python/lib/$version/site-packages" -e PYTHONUTF8=1 -e LANG=C.UTF-8 -e PYTHONDONTWRITEBYTECODE=1 \
  -e PYTHONUNBUFFERED=1 "$tag" "$out" /opt/python/bin/python "${files[@]}"
echo "$key" >"$out.key"
