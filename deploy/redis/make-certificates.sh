#!/bin/sh
# Makes certificates for TLS between the services and Redis: an authority of our own, one for the
# server, one for clients.
#
#   make-certificates.sh FOLDER NAME...
#
# NAME is how services call the server: host names and IP addresses, as many as there are (of a
# cluster: of all nodes). FOLDER gets ca.crt, ca.key, server.crt, server.key, client.crt and
# client.key; keys for their owner alone (mode 600). What is there is not overwritten. ca.key signs
# others: keep it away from the services. DAYS is how long they are good (default 825).
set -eu

fail() {
  echo "make-certificates: $1" >&2
  exit 2
}

[ $# -ge 2 ] || fail "give a folder and the server's names: make-certificates.sh FOLDER NAME..."
command -v openssl >/dev/null || fail "openssl is not installed"
folder=$1
shift
days=${DAYS:-825} # the longest that all clients take

names=''
for name in "$@"; do
  case $name in
    *[!a-zA-Z0-9.:*-]*) fail "'$name' is neither a host name nor an IP address" ;;
    *:* | *[0-9].*[0-9].*[0-9].*[0-9]) kind=IP ;;
    *) kind=DNS ;;
  esac
  case $name in *[!0-9.:a-fA-F]*) kind=DNS ;; esac
  names="$names${names:+,}$kind:$name"
done

mkdir -p "$folder" 2>/dev/null || fail "cannot make the folder '$folder'"
probe=$(mktemp "$folder/.newXXXXXX" 2>/dev/null) || fail "cannot write into the folder '$folder'"
rm "$probe"
for one in ca server client; do
  for file in "$folder/$one.crt" "$folder/$one.key"; do
    [ ! -e "$file" ] || fail "'$file' is there already; remove it, or choose another folder"
  done
done
umask 077

key() {
  openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out "$folder/$1.key" 2>/dev/null ||
    fail "openssl could not make '$folder/$1.key'"
}

sign() { # whose, for what, more extensions
  key "$1"
  openssl req -new -key "$folder/$1.key" -subj "/O=platestream/CN=$1" -out "$folder/$1.csr"
  printf '%s\n' "basicConstraints=critical,CA:FALSE" "keyUsage=critical,digitalSignature" \
    "extendedKeyUsage=$2" "subjectKeyIdentifier=hash" "authorityKeyIdentifier=keyid" \
    ${3:+"$3"} >"$folder/$1.ext"
  openssl x509 -req -in "$folder/$1.csr" -CA "$folder/ca.crt" -CAkey "$folder/ca.key" \
    -set_serial "0x$(openssl rand -hex 16)" -days "$days" -sha256 -extfile "$folder/$1.ext" \
    -out "$folder/$1.crt" 2>/dev/null
  rm "$folder/$1.csr" "$folder/$1.ext"
}

key ca
openssl req -new -x509 -key "$folder/ca.key" -subj "/O=platestream/CN=platestream authority" \
  -addext "keyUsage=critical,keyCertSign,cRLSign" -days "$days" -sha256 -out "$folder/ca.crt"
sign server serverAuth,clientAuth "subjectAltName=$names" # nodes of a cluster are clients, too
sign client clientAuth
chmod 600 "$folder"/ca.key "$folder"/server.key "$folder"/client.key
chmod 644 "$folder"/ca.crt "$folder"/server.crt "$folder"/client.crt
