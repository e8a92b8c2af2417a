# syntax=docker/dockerfile:1

# The build stage runs on the builder's own platform and cross-compiles, which needs
# no C compiler because the binary contains no C code.
FROM --platform=$BUILDPLATFORM golang:1.26.8-bookworm AS build
WORKDIR /src
COPY go.mod go.sum ./
RUN --mount=type=cache,target=/go/pkg/mod go mod download
COPY . .
ARG VERSION=dev
ARG TARGETOS
ARG TARGETARCH
RUN --mount=type=cache,target=/go/pkg/mod --mount=type=cache,target=/cache,id=go-build \
    GOCACHE=/cache CGO_ENABLED=0 GOOS=$TARGETOS GOARCH=$TARGETARCH \
    go build -trimpath -buildvcs=false -ldflags "-s -w -X github.com/unireel/unireel/internal/app.version=$VERSION" -o /unireel ./cmd/unireel

FROM debian:bookworm-slim
# ffmpeg renders previews and probes every reference; the font is for the previews'
# captions, including Chinese ones.
RUN apt-get update \
    && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends \
        ca-certificates ffmpeg fonts-noto-cjk \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --system --uid 10001 --home-dir /data --shell /usr/sbin/nologin unireel \
    && install -d -o unireel -g unireel -m 0700 /data
COPY --from=build /unireel /usr/local/bin/unireel
COPY LICENSE /usr/share/doc/unireel/LICENSE

USER unireel
ENV UNIREEL_DATA=/data \
    UNIREEL_ADDR=:8080
VOLUME /data
EXPOSE 8080
STOPSIGNAL SIGTERM
# bash itself requests /readyz, so that the image needs no curl.
HEALTHCHECK --interval=10s --timeout=5s --start-period=20s --retries=3 \
    CMD ["bash", "-c", "exec 3<>/dev/tcp/127.0.0.1/8080 && printf 'GET /readyz HTTP/1.0\\r\\nHost: localhost\\r\\n\\r\\n' >&3 && read -r _ status _ <&3 && [[ $status == 200 ]]"]
ENTRYPOINT ["unireel"]
CMD ["serve"]
