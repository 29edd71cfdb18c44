# Every image of Claude Code Cluster, one target each: ingest, worker-backend, worker-frontend, worker-testing,
# worker-devops and worker-general. docs/docker.md says how to add tools of your own. Needs BuildKit.
#
#   docker build --target worker-backend --tag claude-cluster-worker-backend .
#
# Behind a proxy that signs its own certificates, hand in its authority: --secret id=extra_ca,src=authority.pem

FROM rust:1-bookworm AS build
# A cargo profile; `dev` builds in a fraction of the time.
ARG PROFILE=release
WORKDIR /src
COPY Cargo.toml Cargo.lock ./
COPY shared shared
COPY ingest ingest
COPY worker worker
COPY cli cli
# Cargo goes by times, and the cache may hold what another checkout with newer files has left: hence touch.
RUN --mount=type=secret,id=extra_ca,target=/usr/local/share/ca-certificates/extra.crt \
    --mount=type=cache,target=/usr/local/cargo/registry,sharing=locked \
    --mount=type=cache,target=/src/target,sharing=locked \
    update-ca-certificates > /dev/null 2>&1 \
    && find shared ingest worker cli -type f -exec touch {} + \
    && cargo build --locked --profile "$PROFILE" --bin claude-cluster \
    && if [ "$PROFILE" = dev ]; then directory=debug; else directory=$PROFILE; fi \
    && install -D "target/$directory/claude-cluster" /out/claude-cluster \
    && ln -s claude-cluster /out/claude-cluster-distributed


FROM debian:bookworm-slim AS npm
RUN apt-get update \
    && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends ca-certificates npm \
    && rm -rf /var/lib/apt/lists/*
ENV NODE_EXTRA_CA_CERTS=/etc/ssl/certs/ca-certificates.crt NPM_CONFIG_AUDIT=false NPM_CONFIG_FUND=false


FROM npm AS claude-code
# Empty: without the agent.
ARG CLAUDE_CODE_VERSION=2.1.328
ARG TARGETARCH
RUN --mount=type=secret,id=extra_ca,target=/usr/local/share/ca-certificates/extra.crt \
    update-ca-certificates > /dev/null 2>&1 \
    && mkdir /out \
    && if [ -n "$CLAUDE_CODE_VERSION" ]; then \
        arch=$(echo "${TARGETARCH:-$(dpkg --print-architecture)}" | sed s/amd64/x64/) \
        && package=@anthropic-ai/claude-code-linux-$arch \
        && npm install --silent --prefix /npm "$package@$CLAUDE_CODE_VERSION" \
        && mv "/npm/node_modules/$package/claude" /out/claude \
        && rm -rf /npm; \
    fi


# Newer than Debian's, which only fetches it.
FROM npm AS node
ARG NODE_VERSION=22.23.3
ARG NPM_VERSION=10.9.9
ARG PNPM_VERSION=10.34.8
ARG YARN_VERSION=1.22.22
ARG TARGETARCH
RUN --mount=type=secret,id=extra_ca,target=/usr/local/share/ca-certificates/extra.crt \
    update-ca-certificates > /dev/null 2>&1 \
    && arch=$(echo "${TARGETARCH:-$(dpkg --print-architecture)}" | sed s/amd64/x64/) \
    && npm install --silent --global --prefix /out \
        "npm@$NPM_VERSION" "pnpm@$PNPM_VERSION" "yarn@$YARN_VERSION" \
    && npm install --silent --prefix /npm "node-linux-$arch@$NODE_VERSION" \
    && mv "/npm/node_modules/node-linux-$arch/bin/node" /out/bin/node \
    && rm -rf /npm


# The client alone, without the engine that the package brings.
FROM debian:bookworm-slim AS docker-client
WORKDIR /package
RUN apt-get update && apt-get download docker.io && dpkg-deb --extract docker.io_*.deb /package \
    && install -D usr/bin/docker /out/docker && rm -rf /package/* /var/lib/apt/lists/*


FROM debian:bookworm-slim AS system
RUN apt-get update \
    && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends \
        ca-certificates curl git openssl socat tini \
    && rm -rf /var/lib/apt/lists/*
# State below /var/lib/claude-cluster, a user's settings in /etc/xdg/claude-cluster/config.toml.
ENV XDG_STATE_HOME=/var/lib XDG_CONFIG_HOME=/etc/xdg
WORKDIR /var/lib/claude-cluster
ENTRYPOINT ["tini", "--", "claude-cluster"]


FROM system AS ingest
RUN groupadd --gid 10001 cluster \
    && useradd --no-log-init --uid 10001 --gid cluster --home-dir /var/lib/claude-cluster --shell /usr/sbin/nologin cluster \
    && install -d -o cluster -g cluster -m 700 /var/lib/claude-cluster
COPY deploy/compose/make-secrets /usr/local/bin/
COPY deploy/compose/ingest.toml /etc/claude-cluster/config.toml
COPY --from=build /out/ /usr/local/bin/
USER cluster
EXPOSE 8000 8001
CMD ["ingest"]


# The worker runs as root with the few capabilities that it needs to run agents as another user; see docs/docker.md.
FROM system AS worker-base
RUN apt-get update \
    && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends \
        bubblewrap file git-lfs jq less make openssh-client patch procps ripgrep unzip xz-utils \
    && rm -rf /var/lib/apt/lists/* \
    && groupadd --gid 10002 agent \
    && useradd --no-log-init --uid 10002 --gid agent --home-dir /nonexistent --shell /usr/sbin/nologin agent \
    && install -d -m 700 /var/lib/claude-cluster \
    && install -d -m 711 /work /work/mirrors /work/workspaces
COPY deploy/compose/worker.toml /etc/claude-cluster/config.toml
COPY --from=claude-code /out/ /usr/local/bin/
CMD ["worker"]


FROM worker-base AS worker-general
COPY --from=build /out/ /usr/local/bin/


FROM worker-base AS python
RUN apt-get update \
    && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends \
        build-essential pkg-config python-is-python3 python3 python3-dev python3-pip python3-pytest python3-venv \
    && rm -rf /var/lib/apt/lists/*


FROM python AS worker-backend
RUN apt-get update \
    && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends \
        libffi-dev libpq-dev libsqlite3-dev libssl-dev sqlite3 zlib1g-dev \
    && rm -rf /var/lib/apt/lists/*
COPY --from=build /out/ /usr/local/bin/


FROM worker-base AS worker-frontend
COPY --from=node /out/ /usr/local/
COPY --from=build /out/ /usr/local/bin/


FROM python AS worker-testing
COPY --from=node /out/ /usr/local/
COPY --from=build /out/ /usr/local/bin/


FROM worker-base AS worker-devops
RUN apt-get update \
    && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends \
        gettext-base python3 python3-yaml rsync shellcheck yamllint \
    && rm -rf /var/lib/apt/lists/*
COPY --from=docker-client /out/docker /usr/local/bin/
COPY --from=build /out/ /usr/local/bin/
