#!/bin/sh
# Builds base images on a machine that can reach Debian's packages but no image registry. The images contain Debian under
# the names that the Dockerfile and docker-compose.yml use. Needs root, debootstrap and podman. Not for production: the
# servers have Debian's versions, and the entry points support only the options that docker-compose.yml uses.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

base() {  # distribution packages tag [options of podman import]
    debootstrap --variant=minbase --include="$2" "$1" "$work/$1" http://deb.debian.org/debian >/dev/null
    rm -rf "$work/$1"/var/cache/apt/archives/*.deb
    cp "$here/entry.sh" "$work/$1/usr/local/bin/entry"
    tar -C "$work/$1" -c . | podman import -q - "localhost/standin:$1" >/dev/null
    rm -rf "${work:?}/$1"
}

base bookworm ca-certificates,python3,python3-venv
printf 'FROM localhost/standin:bookworm\nRUN ln -s /usr/bin/python3 /usr/local/bin/python\nENV PATH=/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin\n' \
    | podman build -q -t docker.io/library/python:3.11-slim-bookworm -f - "$work"

base trixie ca-certificates,redis-server,postgresql-17
printf 'FROM localhost/standin:trixie\nUSER redis\nWORKDIR /data\nVOLUME /data\n' \
    | podman build -q --format docker -t docker.io/library/redis:8.0-bookworm -f - "$work"
printf 'FROM localhost/standin:trixie\nENV PATH=/usr/lib/postgresql/17/bin:/usr/bin:/bin PGDATA=/var/lib/postgresql/data\nRUN rm -rf /var/lib/postgresql/17 && mkdir -p $PGDATA && chown postgres: $PGDATA\nVOLUME /var/lib/postgresql/data\nUSER postgres\nENTRYPOINT ["/usr/local/bin/entry"]\nCMD ["postgres"]\n' \
    | podman build -q --format docker -t docker.io/library/postgres:17-bookworm -f - "$work"
printf 'FROM localhost/standin:trixie\nRUN apt-get update && apt-get install -y --no-install-recommends prometheus wget && install -d -o nobody /prometheus\nVOLUME /prometheus\nUSER nobody\nENTRYPOINT ["prometheus"]\n' \
    | podman build -q --format docker --network host -t docker.io/prom/prometheus:v3.2.1 -f - "$work"
