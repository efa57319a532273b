#!/bin/sh
# redis-cli inside the container: as the user monitor, who may look at everything and change
# nothing, or as another with --user NAME before all else.
set -eu

PATH=/usr/local/bin:/usr/bin:/bin
user=monitor
if [ "${1:-}" = --user ]; then
  user=$2
  shift 2
fi
if [ -n "${REDIS_CERTIFICATES:-}" ]; then
  set -- --tls --cacert "$REDIS_CERTIFICATES/ca.crt" -h redis "$@"
fi
REDISCLI_AUTH=$(cat "${REDIS_SECRETS:-/run/secrets}/redis_$user")
export REDISCLI_AUTH
exec redis-cli --user "$user" --no-auth-warning "$@"
