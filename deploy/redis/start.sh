#!/bin/sh
# Starts redis-server with redis.conf, and with what differs from place to place:
#
#   REDIS_MAXMEMORY     most that it takes for data (default 1gb); the container needs some more
#   REDIS_DATA          folder of the append-only file (default /data)
#   REDIS_SECRETS       folder of the users' passwords, see make-users.sh (default /run/secrets)
#   REDIS_CERTIFICATES  folder with ca.crt, server.crt and server.key: TLS, and nothing but TLS
#   REDIS_CLIENT_CERTIFICATES=yes  clients must show a certificate of the same authority
#
# More arguments go to redis-server: start.sh --port 7000
set -eu

here=$(cd "$(dirname "$0")" && pwd)
data=${REDIS_DATA:-/data}
users=$data/users.acl
"$here/make-users.sh" "${REDIS_SECRETS:-/run/secrets}" "$users"
if [ -n "${REDIS_CERTIFICATES:-}" ]; then
  for file in ca.crt server.crt server.key; do
    if [ ! -r "$REDIS_CERTIFICATES/$file" ]; then
      echo "start: cannot read '$REDIS_CERTIFICATES/$file'; make-certificates.sh makes it" >&2
      exit 2
    fi
  done
  set -- --port 0 --tls-port 6379 --tls-ca-cert-file "$REDIS_CERTIFICATES/ca.crt" \
    --tls-cert-file "$REDIS_CERTIFICATES/server.crt" \
    --tls-key-file "$REDIS_CERTIFICATES/server.key" \
    --tls-auth-clients "${REDIS_CLIENT_CERTIFICATES:-no}" "$@"
fi
exec redis-server "$here/redis.conf" --maxmemory "${REDIS_MAXMEMORY:-1gb}" --dir "$data" \
  --aclfile "$users" "$@"
