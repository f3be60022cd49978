#!/usr/bin/env bash
# mkimage.sh [-u UID] [-e NAME=VALUE]... [-w FOLDER] TAG OUT.tar ENTRYPOINT SOURCE=/path/in/image...
# A one-layer image, as FROM scratch + COPY would make it, with no daemon: the "docker save" form that
# `ctr images import`, `docker load` and `kind load image-archive` read. Same input, same bytes. A source may be
# a folder.
set -euo pipefail
uid=0 work=/ env='"PATH=/usr/bin:/bin:/"'
while getopts u:e:w: o; do
  case $o in
    u) uid=$OPTARG ;;
    e) env+=",\"$OPTARG\"" ;;
    w) work=$OPTARG ;;
    *) exit 2 ;;
  esac
done
shift $((OPTIND - 1))
tag=$1 out=$2 entry=$3; shift 3
w=$(mktemp -d); trap 'rm -rf "$w"' EXIT
mkdir -p "$w/root/tmp" "$w/root/etc"; chmod 1777 "$w/root/tmp"
echo 'root:x:0:0:root:/:/bin/false
nonroot:x:65532:65532:nonroot:/tmp:/bin/false
nobody:x:65534:65534:nobody:/:/bin/false' >"$w/root/etc/passwd"
for f in "$@"; do
  from=${f%%=*} to=$w/root${f#*=}
  if [ -d "$from" ]; then mkdir -p "$to"; cp -R "$from/." "$to"
  elif [ -x "$from" ]; then install -D -m 755 "$from" "$to"
  else install -D -m 644 "$from" "$to"; fi
done
pack() { tar --sort=name --mtime=@0 --owner=0 --group=0 --numeric-owner "$@"; }
pack -C "$w/root" -cf "$w/layer.tar" .
diff=$(sha256sum "$w/layer.tar" | cut -d' ' -f1)
printf '{"architecture":"amd64","os":"linux","created":"1970-01-01T00:00:00Z","config":{"User":"%s","WorkingDir":"%s","Env":[%s],"Entrypoint":["%s"]},"rootfs":{"type":"layers","diff_ids":["sha256:%s"]}}' \
  "$uid:$uid" "$work" "$env" "$entry" "$diff" >"$w/config.json"
printf '[{"Config":"config.json","RepoTags":["%s"],"Layers":["layer.tar"]}]' "$tag" >"$w/manifest.json"
pack -C "$w" -cf "$out.part" manifest.json config.json layer.tar
mv "$out.part" "$out"
