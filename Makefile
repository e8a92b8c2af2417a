# Every command of this repository. `make` alone lists them.

# Git's own name for what is built; "dev" where there is no git.
VERSION := $(shell git -c safe.directory='*' describe --tags --always --dirty 2>/dev/null || echo dev)

GO      := scripts/go
LINT    := $(GO) tool -modfile=tools/go.mod golangci-lint
LDFLAGS := -s -w -X github.com/unireel/unireel/internal/app.version=$(VERSION)

# SQLite and its C library are others' code, translated from C: not watched by the
# race detector, whose time they would double.
UNWATCHED := -gcflags=modernc.org/...=-race=false

# Tests of what other programs draw and measure, and of sums over pixels: most of their
# time is those programs'. The other tests of the same packages run the same goroutines
# and are watched.
UNRACED := ^Test(HostileFiles|HostilePrompts|MoveIndexChangesNothingElse|ProbeMeasuresStreams|ReferencesTakeTheirTurns|AnyReferenceIsCutOrNot|ASeedIsAFilm|AReferenceVideoPlays|APhotographIsTurnedUpright|TheGuideIsTheSoundTrack|APictureAndAPromptBecomeFilms|TheBoundsOfAModelHoldForRealFiles)$$

# The version is stamped above; a checkout of another owner must build too.
export GOFLAGS := $(strip $(GOFLAGS) -buildvcs=false)

.DEFAULT_GOAL := help
.PHONY: help demo test race bench build lint fmt generate samples clean setup-demo setup-test

help: ## list the commands
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: setup-demo build ## make the two example videos, from nothing, and show them
	bin/unireel demo

test: setup-test ## run every test
	scripts/in-memory $(GO) test -timeout 15m ./...

race: setup-test ## run the tests under the race detector; not test/, whose program is the shipped one, nor arch, which reads
	scripts/in-memory $(GO) test -race $(UNWATCHED) -skip '$(UNRACED)' -timeout 20m $$($(GO) list ./... | grep -vE '/test/|/arch$$')

bench: setup-test ## measure what docs/performance.md shows
	$(GO) run ./bench

build: ## build bin/unireel
	CGO_ENABLED=0 $(GO) build -trimpath -ldflags '$(LDFLAGS)' -o bin/unireel ./cmd/unireel

lint: ## look for mistakes and for code that is not formatted
	$(LINT) run ./...

fmt: ## format the code
	$(LINT) fmt ./...

generate: setup-test ## write the golden files anew
	$(GO) test -timeout 15m $$(grep -rl --include='*_test.go' 'flag\.Bool("update"' . | xargs -r -n1 dirname | sort -u) -update

samples: setup-test ## draw the sample references anew
	$(GO) run ./internal/sample/make

clean: ## remove what was built
	rm -rf bin

setup-demo:
	@scripts/setup demo

setup-test:
	@scripts/setup test
	@$(GO) tool -modfile=tools/versitygw/go.mod -n versitygw >/dev/null # the S3 server of the tests, built once
