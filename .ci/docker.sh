#!/usr/bin/env bash
# A docker engine, and what is used with it, for the tests that need one: full hosts and the smoke test of the image.
#
#   .ci/docker.sh start   uses the engine that answers; else starts one (as root). Installs Debian's packages that miss.
#   .ci/docker.sh stop    stops the engine if the same shell or script started it; any other is left running
#
# Images and layers stay under $STEPMARK_DOCKER_DIR, so that the next start finds them.
set -euo pipefail

dir=${STEPMARK_DOCKER_DIR:-${XDG_CACHE_HOME:-$HOME/.cache}/stepmark/docker}
pid_file=$dir/dockerd.pid
owner_file=$dir/owner
log=$dir/dockerd.log

answers() { timeout 10 docker version --format '{{.Server.Version}}' >/dev/null 2>&1; }

die() {
    echo "docker.sh: $*" >&2
    exit 1
}

ours() {
    [ -s "$pid_file" ] && [ "$(cat "/proc/$(cat "$pid_file")/comm" 2>/dev/null)" = dockerd ]
}

# Prints the packages of those programs that are not there.
missing_packages() {
    answers || command -v dockerd >/dev/null || echo docker.io
    answers || command -v iptables >/dev/null || echo iptables
    docker compose version >/dev/null 2>&1 || command -v docker-compose >/dev/null || echo docker-compose
    command -v mmdebstrap >/dev/null || echo mmdebstrap
}

install_missing() {
    local packages
    packages=$(missing_packages | tr '\n' ' ')
    [ -n "${packages// /}" ] || return 0
    [ "$(id -u)" = 0 ] || die "only root can install $packages"
    command -v apt-get >/dev/null || die "there is no apt-get to install $packages"
    echo "docker: installing $packages"
    export DEBIAN_FRONTEND=noninteractive
    apt-get update -qq
    # shellcheck disable=SC2086 # a list of words
    apt-get install -qq -y --no-install-recommends $packages >/dev/null
}

start() {
    install_missing
    if answers; then
        echo "docker: the engine answers ($(docker version --format '{{.Server.Version}}'))"
        return
    fi
    [ "$(id -u)" = 0 ] || die "no docker engine answers, and only root can start one"
    mkdir -p "$dir"
    if ! ours; then
        rm -f "$pid_file"
        echo "$PPID" >"$owner_file"
        setsid dockerd --data-root "$dir/data" --exec-root /run/stepmark-docker --pidfile "$pid_file" \
            --log-level warn >>"$log" 2>&1 </dev/null &
    fi
    for _ in $(seq 120); do
        if answers; then
            echo "docker: started ($(docker version --format '{{.Server.Version}}')), data in $dir"
            return
        fi
        sleep 0.5
    done
    tail -n 20 "$log" >&2
    die "the engine did not answer within 60 s"
}

stop() {
    ours && [ "$(cat "$owner_file")" = "$PPID" ] || return 0
    local pid
    pid=$(cat "$pid_file")
    kill "$pid"
    for _ in $(seq 60); do
        [ -d "/proc/$pid" ] || return 0
        [ "$(awk '/^State/ {print $2}' "/proc/$pid/status" 2>/dev/null)" = Z ] && return 0
        sleep 0.5
    done
    die "the engine (pid $pid) did not stop within 30 s"
}

case ${1:-} in
    start | stop) "$1" ;;
    *) die "usage: $0 start|stop" ;;
esac
