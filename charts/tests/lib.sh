# shellcheck shell=bash
# What the scripts beside it share: settings, and checks that are counted.
KUBECTL=${KUBECTL:-kubectl} HELM=${HELM:-helm}
charts=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
# shellcheck disable=SC2034 # used by the scripts
repository=$(dirname "$charts")
passed=0 failed=0
# check WORDS COMMAND...: whether the command succeeds.
check() {
  local words=$1 said; shift
  if said=$("$@" 2>&1); then passed=$((passed + 1)); else
    failed=$((failed + 1)); printf 'FAILED %s\n  %s\n%s\n' "$words" "$*" "$said"
  fi
}
# same WORDS WANTED FOUND
same() { check "$1" test "$2" = "$3"; [ "$2" = "$3" ] || printf '  wanted %s\n  found  %s\n' "$2" "$3"; }
# refused WORDS PART COMMAND...: whether the command fails and says PART.
refused() {
  local words=$1 part=$2 said; shift 2
  if said=$("$@" 2>&1); then check "$words: was not refused" false; else
    case $said in *"$part"*) passed=$((passed + 1)) ;; *) check "$words: $said" false ;; esac
  fi
}
# soon COMMAND...: asks again until it succeeds, for a minute. The check after it says whether it did.
soon() { local end=$((SECONDS + 60)); until "$@" >/dev/null 2>&1 || [ $SECONDS -ge $end ]; do :; done; }
k() { command "$KUBECTL" "$@"; }
helm() { command "$HELM" "$@"; }
# finish LEAST: fails, too, when fewer checks were made.
finish() {
  echo "$passed passed, $failed failed"
  [ "$failed" = 0 ] && { [ "$passed" -ge "$1" ] || { echo "only $passed of $1 checks were made"; false; }; }
}
