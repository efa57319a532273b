#!/bin/sh
# Folders of the host for the user that the services run as. Where a folder is missing the engine
# makes it, and it is root's.
#
#   setup.sh UID GID FOLDER...
set -eu

uid=$1 gid=$2
shift 2
for folder; do
  owner=$(stat -c %u "$folder")
  if [ "$owner" = 0 ] && [ "$uid" != 0 ]; then
    chown "$uid:$gid" "$folder"
    echo "setup: $folder is now the folder of $uid:$gid"
  elif [ "$owner" != "$uid" ]; then
    # files get the folder's group, and its owner may remove them
    chmod g+s,o+rwx "$folder"
    echo "setup: $folder belongs to $owner, but its files will be those of $uid:$gid;" \
      "put UID=$owner and GID=$(stat -c %g "$folder") into .env" >&2
  fi
done
