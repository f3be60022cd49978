#!/usr/bin/env bash
# hold.sh: a cluster of one test program. It lives until standard input ends: the program holds the other end of the
# pipe, and however it ends, kill -9 too, the cluster goes. Prints "ready" when the cluster is usable. KSTATE is the
# program's own; so is the cgroup.
set -uo pipefail
: "${KSTATE:?a folder of the test program}"
here=$(cd "$(dirname "$0")" && pwd)
group_of() { echo "/buildbot-status-$(basename "$1")"; }
export CGROUP_ROOT; CGROUP_ROOT=$(group_of "$KSTATE")
mkdir -p "$(dirname "$KSTATE")"
end() { # STATE: ends that cluster, and leaves nothing
  KSTATE=$1 CGROUP_ROOT=$(group_of "$1") "$here/down.sh"
  rm -rf --one-file-system "$1" "$1.lock" "$1.out"
}
# Whoever holds its lock is alive. What a killed hold.sh left is ended by the next one, which holds that lock meanwhile
# and removes it: so a lock counts only while its file is still there.
until [ "$KSTATE.lock" -ef /proc/$$/fd/8 ]; do
  exec 8>"$KSTATE.lock"
  flock -w 20 8 || { echo "hold.sh: $KSTATE is in use" >&2; exit 1; }
done
for lock in "$(dirname "$KSTATE")"/*.lock; do
  other=${lock%.lock}
  if [ "$other" != "$KSTATE" ]; then (if flock -n 9; then end "$other"; fi) 9<"$lock"; fi
done
trap 'end "$KSTATE"' EXIT
trap 'exit 1' TERM INT HUP
"$here/up.sh" 8>&- </dev/null || { tail -n 20 "$KSTATE"/init.log "$KSTATE"/log/*.log; exit 1; }
echo ready
cat <&0 >/dev/null 8>&- & # a process in the background would read nothing
wait $!
