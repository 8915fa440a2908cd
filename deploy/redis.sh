#!/bin/sh
# Redis for the bells of modelport: one user with a password, and no commands that steer the server or look at all keys.
# The password is in REDISCLI_AUTH; only its digest is written, to a file that is gone with the container.
# What is given goes on to redis-server.
set -eu
umask 077
acl=$(mktemp)
digest=$(printf %s "${REDISCLI_AUTH:?the password}" | sha256sum | cut -d ' ' -f 1)
{
    echo 'user default off resetpass -@all'
    echo "user modelport on #$digest ~* &* +@all -@admin -@dangerous +info"
} >"$acl"
# Each answered write is on disk within a second. Nothing is ever dropped to make room: a full Redis says so instead.
exec redis-server --aclfile "$acl" --protected-mode no --appendonly yes --appendfsync everysec --save '' \
    --maxmemory-policy noeviction "$@"
