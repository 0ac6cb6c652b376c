# The operator's image: numeric user, no shell needed, nothing written at run time but /tmp.
# Reproducible: pin BASE by digest and set SOURCE_DATE_EPOCH, and two builds of one commit are equal
# (with BuildKit: --output type=image,rewrite-timestamp=true).
ARG BASE=python:3.12-slim-bookworm

FROM ${BASE} AS build
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
ARG VERSION=dev
ARG REVISION=unknown
LABEL org.opencontainers.image.title="channel-operator" \
      org.opencontainers.image.description="Message channels as Kubernetes resources on RabbitMQ" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
ENV PYTHONPATH=/app:/app/lib PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1
COPY --from=build /app /app
WORKDIR /app
USER 10001:10001
ENTRYPOINT ["python", "-m", "channel_operator"]
