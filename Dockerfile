# The operator's image: numeric user, no shell needed, nothing written at run time but /tmp.
# Reproducible: pin BASE by digest, and two builds of one commit are equal (`make image` sets SOURCE_DATE_EPOCH; with
# BuildKit add --output type=image,rewrite-timestamp=true).
# BASE needs Python 3.11 or newer as `python`; BUILD_BASE the same version, and pip.
ARG BASE=python:3.12-slim-bookworm
ARG BUILD_BASE=${BASE}

FROM ${BUILD_BASE} AS build
ARG SOURCE_DATE_EPOCH=0
ENV SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH} PYTHONHASHSEED=0
WORKDIR /build
# Dependencies first: this layer changes only with the lock file.
COPY requirements/runtime.txt ./
RUN ["python", "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--root-user-action=ignore", \
     "--no-cache-dir", "--no-compile", "--only-binary=:all:", "--require-hashes", "--requirement=runtime.txt", \
     "--target=/app/lib"]
COPY operator/channel_operator /app/channel_operator
# Bytecode is made here, because the root file system is read-only at run time; unchecked hashes hold no timestamps.
# Scripts of dependencies are not used. One time for all files.
RUN python -m compileall -q --invalidation-mode unchecked-hash /app \
 && rm -rf /app/lib/bin \
 && find /app -exec touch --no-dereference --date="@${SOURCE_DATE_EPOCH}" {} +

FROM ${BASE}
ARG BASE
ARG VERSION=dev
ARG REVISION=unknown
LABEL org.opencontainers.image.title="channel-operator" \
      org.opencontainers.image.description="Message channels as Kubernetes resources on RabbitMQ" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.base.name="${BASE}" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
# What the base brings with the rights of its owner (su, mount, passwd): nothing here may become another user.
RUN find / -xdev -type f -perm /6000 -exec chmod a-s {} +
ENV PYTHONPATH=/app:/app/lib PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1
COPY --from=build /app /app
WORKDIR /app
USER 10001:10001
ENTRYPOINT ["python", "-m", "channel_operator"]
