#!/bin/sh
# Makes Redis's users: rules from users.acl, passwords from a folder of secrets.
#
#   make-users.sh SECRETS OUTPUT [VERSION]
#
# SECRETS holds a file for each user, redis_<user>, with its password in one line (so are secrets
# named in compose: /run/secrets). A user without a file is left out; admin must have one. OUTPUT
# is for redis-server's aclfile; it holds SHA-256 sums, no password. VERSION is the redis-server's
# (as it says itself if not given): before 7 there are no selectors, and a user may do each of its
# commands on each of its keys.
set -eu

fail() {
  echo "make-users: $1" >&2
  exit 2
}

[ $# -ge 2 ] || fail "give the folder of secrets and the file to write: make-users.sh SECRETS OUTPUT"
secrets=$1 output=$2
version=${3:-$(redis-server --version | sed 's/.*v=\([0-9]*\.[0-9]*\).*/\1/')}
major=${version%%.*} minor=${version#*.} minor=${minor%%.*}
rules=$(dirname "$0")/users.acl
[ -d "$secrets" ] || fail "no folder of secrets '$secrets'"
[ -r "$rules" ] || fail "no rules '$rules'"
[ "$major" -gt 6 ] || { [ "$major" = 6 ] && [ "$minor" -ge 2 ]; } ||
  fail "Redis $version is too old: it must be 6.2 or newer"

umask 077
new=$output.new
: >"$new" || fail "cannot write '$new'"
every='' known=' '
# shellcheck disable=SC2162  # without -r a line that ends in \ goes on in the next
while read word name rest; do
  case $word in
    define)
      every=${rest#*service\} }
      continue
      ;;
    user) ;;
    *) continue ;;
  esac
  if [ "$name" = default ]; then
    # off: nobody comes in as it; but its rights count when the append-only file is read, where
    # Redis 7.0 would leave out transactions without a word that a client sees
    echo "user default reset off ~* &* +@all" >>"$new"
    continue
  fi
  known="$known$name "
  secret=$secrets/redis_$name
  [ -e "$secret" ] || continue
  [ -r "$secret" ] || fail "cannot read '$secret'"
  password=$(cat "$secret") # without its last line's end
  [ -n "$password" ] || fail "'$secret' is empty: it must hold the password of user $name"
  [ "$(printf %s "$password" | wc -l)" = 0 ] || fail "'$secret' has more than one line"
  [ ${#password} -ge 12 ] || fail "'$secret': a password has 12 characters at least"
  case $password in
    *change-me*) fail "'$secret' still holds 'change-me': make a password, openssl rand -hex 24" ;;
  esac
  sum=$(printf %s "$password" | sha256sum | cut -d' ' -f1)
  case $rest in
    '{every service}'*) rest="$every ${rest#*service\} }" ;;
  esac
  if [ "$major" -lt 7 ]; then
    rest=$(printf %s "$rest" | sed 's/[()]//g; s/%[RW]*~/~/g; s/ +eval_ro/ +eval/g; s/ +cluster|shards//g
      s/ +client|setinfo/& +client|maint_notifications/') # which redis-py asks for, in vain
  fi
  rest=$(printf %s "$rest" | tr -s ' ')
  if [ "$major" = 7 ] && [ "$minor" -lt 2 ]; then # knows it not, and refuses rules that name it
    rest=$(printf %s "$rest" | sed 's/ +client|setinfo//g')
  fi
  echo "user $name reset on #$sum resetchannels $rest" >>"$new"
done <"$rules"
grep -q '^user admin ' "$new" || fail "no '$secrets/redis_admin': without it nobody could mend a thing"
for secret in "$secrets"/redis_*; do
  case $known in
    *" ${secret##*/redis_} "*) ;;
    *) fail "'$secret': users.acl knows no user '${secret##*/redis_}'" ;;
  esac
done
mv "$new" "$output"
