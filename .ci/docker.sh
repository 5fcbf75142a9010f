#!/usr/bin/env bash
# A docker engine for the tests that need one: full hosts and the smoke test of the image.
#
#   .ci/docker.sh start   uses the engine that answers; else installs Debian's (as root) and starts it by hand
#   .ci/docker.sh stop    stops the engine that `start` started, and no other
#
# Images and layers stay under $STEPMARK_DOCKER_DIR, so that the next start finds them.
set -euo pipefail

dir=${STEPMARK_DOCKER_DIR:-${XDG_CACHE_HOME:-$HOME/.cache}/stepmark/docker}
pid_file=$dir/dockerd.pid
log=$dir/dockerd.log

answers() { timeout 10 docker version --format '{{.Server.Version}}' >/dev/null 2>&1; }

die() {
    echo "docker.sh: $*" >&2
    exit 1
}

ours() {
    [ -s "$pid_file" ] && [ "$(cat "/proc/$(cat "$pid_file")/comm" 2>/dev/null)" = dockerd ]
}

install_engine() {
    command -v dockerd >/dev/null && command -v iptables >/dev/null && return
    [ "$(id -u)" = 0 ] || die "no docker engine answers, and only root can install and start one"
    command -v apt-get >/dev/null || die "no docker engine, and no apt-get to install one with"
    export DEBIAN_FRONTEND=noninteractive
    apt-get update -qq
    apt-get install -qq -y --no-install-recommends docker.io iptables >/dev/null
}

start() {
    if answers; then
        echo "docker: the engine answers ($(docker version --format '{{.Server.Version}}'))"
        return
    fi
    install_engine
    [ "$(id -u)" = 0 ] || die "no docker engine answers, and only root can start one"
    mkdir -p "$dir"
    if ! ours; then
        rm -f "$pid_file"
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
    ours || return 0
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
