# Every command of this repository. `make` alone lists them.

# The version is what git calls this commit; "dev" where there is no git.
VERSION := $(shell git -c safe.directory='*' describe --tags --always --dirty 2>/dev/null || echo dev)

GO      := scripts/go
LINT    := $(GO) tool -modfile=tools/go.mod golangci-lint
LDFLAGS := -s -w -X github.com/unireel/unireel/internal/app.version=$(VERSION)

# SQLite is other people's code, translated from C. Watching it for races would double
# the time of the race detector and show nothing about ours.
RACE_EXCLUDE_PACKAGES := -gcflags=modernc.org/...=-race=false

# These tests spend most of their time in ffmpeg or in sums over pixels. The race detector
# leaves them out: other tests of the same packages run the same goroutines.
RACE_EXCLUDE_TESTS := ^Test(HostileFiles|HostilePrompts|MakeFastStartKeepsMedia|ProbeStreams|ReferencesAppearInOrder|ShotTypeControlsCuts|SeedIsDeterministic|ReferenceVideoPlays|ImageOrientation|GuideAudioIsTheSoundTrack|ImageToVideoAndTextToVideo|ModelBoundsWithRealFiles)$$

# The version is set above, and a checkout that belongs to another user must build too.
export GOFLAGS := $(strip $(GOFLAGS) -buildvcs=false)

.DEFAULT_GOAL := help
.PHONY: help demo quick test race bench build lint fmt generate samples clean setup-demo setup-test

help: ## list the commands
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: setup-demo build ## make the two example videos, from nothing, and show them
	bin/unireel demo

# What takes longest: several engines under faults, a real S3 server, whole videos, and
# scripts that drive the real program.
SLOW := /internal/(blob/s3|dispatch|fetch|provider/animatic)$$|/(test|bench)(/|$$)

quick: setup-test ## run what is worth running while you write: vet, and all but the slowest tests
	$(GO) vet ./...
	scripts/in-memory $(GO) test -timeout 5m $$($(GO) list ./... | grep -vE '$(SLOW)')

test: setup-test ## run every test
	scripts/in-memory $(GO) test -timeout 15m ./...

race: setup-test ## run the tests under the race detector, without test/ and arch
	scripts/in-memory $(GO) test -race $(RACE_EXCLUDE_PACKAGES) -skip '$(RACE_EXCLUDE_TESTS)' -timeout 20m $$($(GO) list ./... | grep -vE '/test/|/arch$$')

bench: setup-test ## measure what docs/performance.md shows
	$(GO) run ./bench

build: ## build bin/unireel
	CGO_ENABLED=0 $(GO) build -trimpath -ldflags '$(LDFLAGS)' -o bin/unireel ./cmd/unireel

lint: ## look for mistakes and for code that is not formatted
	$(LINT) run ./...

fmt: ## format the code
	$(LINT) fmt ./...

generate: setup-test ## write the golden files again
	$(GO) test -timeout 15m $$(grep -rl --include='*_test.go' 'flag\.Bool("update"' . | xargs -r -n1 dirname | sort -u) -update

samples: setup-test ## draw the sample references again
	$(GO) run ./internal/sample/make

clean: ## remove what was built
	rm -rf bin

setup-demo:
	@scripts/setup demo

setup-test:
	@scripts/setup test
	@$(GO) tool -modfile=tools/versitygw/go.mod -n versitygw >/dev/null # builds the S3 server of the tests once
