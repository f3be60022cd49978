# syntax=docker/dockerfile:1
# The program, static, in an image with CA certificates and nothing else. docs/install.md says how to make the same without
# a registry.
#   docker buildx build --build-arg SOURCE_DATE_EPOCH=$(git log -1 --format=%ct) \
#       --output type=image,name=NAME:TAG,rewrite-timestamp=true .
# For the same bytes twice, give RUST_IMAGE with its digest too.
ARG RUST_IMAGE=docker.io/library/rust:1.95-slim-bookworm

FROM ${RUST_IMAGE} AS build
WORKDIR /src
COPY . .
# The paths of this stage are no business of the program's.
ENV RUSTFLAGS="--remap-path-prefix=/src=. --remap-path-prefix=/usr/local/cargo=cargo -Clink-arg=-Wl,-z,pack-relative-relocs" \
    CARGO_INCREMENTAL=0 CARGO_TARGET_DIR=/target
SHELL ["/bin/bash", "-euo", "pipefail", "-c"]
# The C that is compiled includes nothing of the C library that differs: the image's own compiler will do.
RUN --mount=type=cache,target=/usr/local/cargo/registry --mount=type=cache,target=/target \
    machine="$(uname -m)" \
    && target="${machine}-unknown-linux-musl" \
    && rustup target add "${target}" \
    && export "CC_${machine}_unknown_linux_musl=gcc" \
    && cargo build --release --locked --target "${target}" --package buildbot-status \
    && install -D -m 755 "/target/${target}/release/buildbot-status" /out/usr/bin/buildbot-status \
    && cargo xtask sbom --target "${target}" --output /out/usr/share/sbom/buildbot-status.cdx.json \
    && install -D -m 644 /etc/ssl/certs/ca-certificates.crt /out/etc/ssl/certs/ca-certificates.crt \
    && install -d -m 1777 /out/tmp

FROM scratch
LABEL org.opencontainers.image.title="Buildbot Status" \
      org.opencontainers.image.source="https://github.com/statustargets/buildbot-status-operator" \
      org.opencontainers.image.licenses="Apache-2.0"
COPY --from=build /out/ /
USER 65532:65532
ENTRYPOINT ["/usr/bin/buildbot-status"]
