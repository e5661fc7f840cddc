#!/bin/sh
# Writes the cache server's users to standard output; passwords come from the environment and appear
# as hashes only.
#
#   SEARCH_PASSWORD=... WATCH_PASSWORD=... deploy/redis/make-acl.sh > users.acl
#
# search: what a search needs, on this project's keys only; nothing that lists, flushes, moves or
# configures.
# watch:  reads this project's keys and the server's figures: for dashboards and exporters.
set -eu

hash_of() { printf %s "$1" | sha256sum | cut -d ' ' -f 1; }

for name in SEARCH_PASSWORD WATCH_PASSWORD; do
  eval "value=\${$name:-}"
  if [ "${#value}" -lt 16 ]; then
    echo "error: $name has ${#value} characters; at least 16 are needed: openssl rand -hex 24" >&2
    exit 2
  fi
done

cat <<ACL
user default off resetpass resetkeys resetchannels -@all
user search on #$(hash_of "$SEARCH_PASSWORD") resetchannels ~lps:* -@all +@read +@write +@connection +cluster|slots -@dangerous -@admin
user watch on #$(hash_of "$WATCH_PASSWORD") resetchannels ~lps:* -@all +@read +@connection -@dangerous -@admin +info
ACL
