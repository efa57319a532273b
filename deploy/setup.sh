#!/bin/sh
# What must be there before the services start, made as root and given away:
#
#   setup.sh UID GID FOLDER...
#
# FOLDERs of the host belong to whom this checkout belongs to; where one is missing the engine makes
# it, and it is root's. Services run as UID: is that another user, files will be his, and that is
# said. /secrets, a volume, gets a password for each user of Redis, once, in a folder that only that
# user's container mounts; Redis has them all. From /certificates, where it is mounted, Redis gets
# its own (make-certificates.sh makes them). What lies in /pixels, a volume in memory, is given to
# UID, where services of another one have left it.
set -eu

uid=$1 gid=$2
shift 2
caller=$(stat -c %u:%g "$0")
case $caller in
  0:* | "$uid":*) caller=$uid:$gid ;; # root wants them to be the services'
esac

for folder; do
  if [ "$(stat -c %u "$folder")" = 0 ] && [ "$uid" != 0 ]; then
    chown "$caller" "$folder"
    echo "setup: $folder is now the folder of $caller"
  fi
  owner=$(stat -c %u "$folder")
  if [ "$owner" != "$uid" ]; then
    # files get the folder's group, and its owner may remove them
    chmod g+s,o+rwx "$folder"
    echo "setup: $folder belongs to $owner, but its files will be those of $uid:$gid;" \
      "put UID=$owner and GID=$(stat -c %g "$folder") into .env" >&2
  fi
done

if [ -d /pixels ]; then
  owner=$(stat -c %u /pixels)
  if [ "$owner" != 0 ] && [ "$owner" != "$uid" ]; then
    echo "setup: the volume pixels was made for user $owner and is closed to $uid:" \
      "docker compose down, and remove it (docker volume ls, docker volume rm)" >&2
  fi
  find /pixels -mindepth 1 ! -user "$uid" -exec chown "$uid:$gid" '{}' +
fi

[ -d /secrets ] || exit 0
umask 077

put() { # file, folder, owner: who reads it meanwhile finds the old one or the new one, whole
  name=${1##*/}
  cp -f "$1" "$2/.$name.new"
  chown "$3" "$2/.$name.new"
  chmod 400 "$2/.$name.new"
  mv -f "$2/.$name.new" "$2/$name"
}

give() { # owner, folder
  chown -R "$1" "$2"
  chmod 500 "$2"
  find "$2" -type f -exec chmod 400 '{}' +
}

mkdir -p /secrets/redis /secrets/certificates
for user in admin monitor run capture ocr track visualize writer; do
  password=/secrets/redis/redis_$user
  if [ ! -s "$password" ]; then
    head -c 24 /dev/urandom | base64 | tr '+/' 'xy' >"$password.new"
    mv "$password.new" "$password"
  fi
  mkdir -p "/secrets/$user"
  put "$password" "/secrets/$user" "$uid:$gid"
  give "$uid:$gid" "/secrets/$user"
done
if [ -d /certificates ]; then
  for file in ca.crt server.crt server.key; do
    if [ ! -s "/certificates/$file" ]; then
      echo "setup: no certificates/$file; deploy/redis/make-certificates.sh certificates redis" \
        "makes it" >&2
      exit 2
    fi
    put "/certificates/$file" /secrets/certificates redis:redis
  done
fi
give redis:redis /secrets/redis
give redis:redis /secrets/certificates
